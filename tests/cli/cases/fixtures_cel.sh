. "$TESTS/lib.sh"
need_fixtures
SHARDY_CURRENT=$SHARDY_FIXTURES/original/cel-direct/objects
export SHARDY_CURRENT
for format in jsonl text; do
    for command in get multiget route; do
        status shardy --output-format $format $command 2 2>&1
    done
done
shardy scan --start 2 --end 3

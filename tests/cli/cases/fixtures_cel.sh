. "$TESTS/lib.sh"
need_fixtures
echo "# by the key"
SHARDY_CURRENT=$SHARDY_FIXTURES/original/cel-direct/objects
export SHARDY_CURRENT
for format in jsonl text; do
    for command in get multiget route; do
        status shardy --output-format $format $command 2 2>&1
    done
done
shardy scan --start 2 --end 3
status shardy verify --deep

echo "# by another column"
SHARDY_CURRENT=$SHARDY_FIXTURES/original/cel-categorical/objects
status shardy get 2 2>&1
for region in apac eu us mars; do
    status shardy route 2 --routing-context region=$region 2>&1
done

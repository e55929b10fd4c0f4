. "$TESTS/lib.sh"
small_snapshot
for format in json jsonl table text; do
    status shardy --output-format $format multiget 1 abc 2 -- -7
done

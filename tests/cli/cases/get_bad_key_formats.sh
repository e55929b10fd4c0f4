. "$TESTS/lib.sh"
small_snapshot
for format in json jsonl table text; do
    status shardy --output-format $format get abc 2>&1
done

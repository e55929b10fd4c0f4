. "$TESTS/lib.sh"
printf '{"key":1,"value":"\377"}\n' > v.jsonl
status shardy build --to s --shards 1 v.jsonl 2>&1

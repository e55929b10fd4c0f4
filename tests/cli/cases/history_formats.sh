. "$TESTS/lib.sh"
small_snapshot
shardy build --to snap --shards 2 --run-id run-second small.csv > built.txt
all_formats history
shardy --output-format text history --limit 1
shardy history --limit 0
shardy --output-format text history --limit 0
status shardy history --limit -1 2>&1
status shardy history --limit=-1 2>&1

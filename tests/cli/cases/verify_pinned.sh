. "$TESTS/lib.sh"
small_snapshot
shardy build --to snap --shards 1 --run-id run-second small.csv > built.txt
shardy --offset 1 --output-format text verify | cut -d" " -f1-5
status shardy --offset 5 verify

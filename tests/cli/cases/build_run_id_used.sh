. "$TESTS/lib.sh"
small_snapshot
status shardy build --to snap --shards 1 --run-id run-small small.csv > out.txt 2> err.txt
tail -1 out.txt
cat err.txt

. "$TESTS/lib.sh"
small_snapshot
rows --start 3
rows --end 42
rows --start 2 --end 5
rows --limit 1
for i in 0 1 2; do
    rows --shard $i
done | sort -n
status shardy scan --shard 3
status shardy scan --start x
status shardy scan --prefix 1
status shardy scan --shard -1 2>&1 | tail -2
status shardy scan --limit=-1 2>&1 | tail -2

. "$TESTS/lib.sh"
small_snapshot
all_formats shards

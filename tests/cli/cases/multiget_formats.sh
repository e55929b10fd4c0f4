. "$TESTS/lib.sh"
small_snapshot
all_formats multiget 1 99 2 1

. "$TESTS/lib.sh"
small_snapshot
all_formats get 5

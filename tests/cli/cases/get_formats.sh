. "$TESTS/lib.sh"
small_snapshot
all_formats get 1
all_formats get 99

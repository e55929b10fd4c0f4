. "$TESTS/lib.sh"
small_snapshot
all_formats route 42
status shardy route x
status shardy route -- -1

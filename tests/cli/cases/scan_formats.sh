. "$TESTS/lib.sh"
small_snapshot
all_formats scan --value-encoding utf8
all_formats scan --keys-only --limit 2
all_formats scan --limit 0

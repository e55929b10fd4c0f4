. "$TESTS/lib.sh"
small_snapshot
shardy get --key-format hex --value-encoding utf8 000000000000002a
status shardy get --key-format hex 2a 2>&1

. "$TESTS/lib.sh"
small_snapshot
status shardy get --strict 1
status shardy get 99 --strict
status shardy --output-format text get --strict 99

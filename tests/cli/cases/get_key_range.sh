. "$TESTS/lib.sh"
small_snapshot
status shardy get -- -1
status shardy get 9223372036854775808
status shardy get 18446744073709551616
status shardy get 9223372036854775807

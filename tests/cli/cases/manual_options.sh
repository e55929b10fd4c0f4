python3 "$TESTS/manual_options.py" "$TESTS/../../docs/man/shardy.1"

. "$TESTS/lib.sh"
mkdir empty
status shardy --current-url empty verify
status shardy --current-url empty --output-format text verify

. "$TESTS/lib.sh"
small_snapshot
shardy --output-format json --output-format TEXT --current-url nowhere --current-url snap get 1

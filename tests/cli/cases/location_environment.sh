. "$TESTS/lib.sh"
small_snapshot
SHARDY_CURRENT=nowhere shardy --output-format text --current-url snap get 2
shardy --output-format text --current-url "" get 2

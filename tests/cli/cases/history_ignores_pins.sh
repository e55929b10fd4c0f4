. "$TESTS/lib.sh"
small_snapshot
shardy --ref nothing --output-format text history
shardy --offset 7 --output-format text history

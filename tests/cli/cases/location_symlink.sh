. "$TESTS/lib.sh"
small_snapshot
mkdir sub
ln -s ../snap sub/link
shardy --output-format text --current-url sub/link get 2
shardy --output-format text --current-url sub/link/_CURRENT get 2

. "$TESTS/lib.sh"
raw_snapshot
all_formats scan
rows --key-format hex --prefix ff

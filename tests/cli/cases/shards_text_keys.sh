. "$TESTS/lib.sh"
text_snapshot
shardy --output-format table shards
shardy shards

. "$TESTS/lib.sh"
small_snapshot
rm "$(find snap -name shard.db | sort | head -1)"
shardy --output-format text verify | sed "s/bytes=[0-9]*/bytes=N/"

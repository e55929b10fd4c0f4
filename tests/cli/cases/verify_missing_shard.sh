. "$TESTS/lib.sh"
small_snapshot
rm "$(find snap -name shard.db | sort | head -1)"
shardy --output-format text verify | cut -d" " -f1-2

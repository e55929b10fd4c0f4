. "$TESTS/lib.sh"
small_snapshot
db=$(find snap -name shard.db | sort | head -1)
truncate -s 4096 "$db"
shardy --output-format text verify > report.txt
echo "exit $?"
sed "s/bytes=[0-9]*/bytes=N/" report.txt

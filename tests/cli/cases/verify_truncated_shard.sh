. "$TESTS/lib.sh"
small_snapshot
db=$(find snap -name shard.db | sort | head -1)
truncate -s 4096 "$db"
shardy --output-format text verify > report.txt
echo "exit $?"
grep -c "^damage: " report.txt
tail -1 report.txt | cut -d" " -f1

. "$TESTS/lib.sh"
small_snapshot
for db in $(find snap -name shard.db | sort); do
    cp "$db" saved
    python3 -c "
import sys
f = open(sys.argv[1], 'r+b')
f.seek(4096 + 8)
b = f.read(1)[0]
f.seek(4096 + 8)
f.write(bytes([b ^ 255]))
" "$db"
    shardy verify > report.jsonl
    echo "exit $?"
    grep -c '"clean": false' report.jsonl
    shardy --output-format text verify --deep
    cp saved "$db"
done
shardy verify > /dev/null
echo "exit $?"

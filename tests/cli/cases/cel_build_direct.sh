. "$TESTS/lib.sh"
cat > rows.jsonl <<'EOF'
{"key":1,"value":"one","region":"eu"}
{"key":2,"value":"two","region":"us"}
{"key":3,"value":"three","region":"ap"}
{"key":1,"value":"uno","region":"us"}
EOF
echo "# by another column: reading needs it"
shardy build --to snap --cel 'region == "eu" ? 0 : 1' --cel-column region:string --run-id r \
    rows.jsonl
export SHARDY_CURRENT=$PWD/snap
all_formats get 1 --value-encoding utf8 --routing-context region=eu
status shardy get 1 --value-encoding utf8 --routing-context region=us
status shardy get 2 --routing-context region=eu
status shardy get 2 2>&1
status shardy route 2 --routing-context region=us
status shardy route 2 --routing-context 'region' 2>&1
status shardy route 2 --routing-context tier=1 2>&1
shardy multiget 1 2 3 --value-encoding utf8 --routing-context region=us
status shardy multiget 1 2 2>&1
shardy shards
status shardy verify --deep

echo "# by the key alone"
shardy build --to keys --cel 'shard_hash(key) % 4u' --cel-column key:int --shards 4 --run-id r \
    --key id --value-json - --format jsonl <<'EOF'
{"id":1,"a":2}
{"id":7,"a":3}
{"id":9,"a":4}
EOF
SHARDY_CURRENT=$PWD/keys
shardy multiget 1 7 8 9 --value-encoding utf8
status shardy get 7 --value-encoding utf8 --routing-context key=7
status shardy get 7 --routing-context key=seven 2>&1
shardy --output-format text route 9
shardy verify --deep

echo "# errors publish nothing"
exec 2>&1
echo '{"key":5,"value":"v","region":"eu"}' > one.jsonl
status shardy build --to none --cel 'region == "eu" ? 3 : 0' --cel-column region:string one.jsonl
status shardy build --to none --cel 'region == "eu" ? 3 : 0' --cel-column region:string --shards 2 \
    rows.jsonl
status shardy build --to none --cel 'key - 2' --cel-column key:int rows.jsonl
status shardy build --to none --cel 'key / (key - 2)' --cel-column key:int rows.jsonl
status shardy build --to none --cel 'tier' --cel-column tier:int rows.jsonl
status shardy build --to none --cel 'key % 2u' --cel-column key:int rows.jsonl
status shardy build --to none --cel 'key == 2' --cel-column key:int rows.jsonl
status shardy build --to none --cel 'region' --cel-column region:int rows.jsonl
status shardy build --to none --cel key rows.jsonl
status shardy build --to none --cel key --cel-column key:int --max-keys-per-shard 3 rows.jsonl
status shardy build --to none --cel-column key:int --shards 2 rows.jsonl
status shardy build --to none --shards 2 --routing-value x rows.jsonl
ls -d none 2> /dev/null
small_snapshot
status shardy get 1 --routing-context a=b

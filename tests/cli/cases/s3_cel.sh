. "$TESTS/lib.sh"
seq 1 3000 | awk '{ printf "{\"key\":%d,\"value\":\"v%d\",\"region\":\"r%d\",\"tier\":%d}\n", $1, $1, $1 % 3, $1 % 2 }' \
    > rows.jsonl
export SHARDY_CURRENT=$SHARDY_S3_URL/snap
shardy build --to "$SHARDY_CURRENT" --cel 'region + ":" + string(tier)' --cel-column region:string \
    --cel-column tier:int --infer-routing-values --run-id r rows.jsonl
for mode in download range auto; do
    shardy --sqlite-mode $mode multiget 7 8 13 --value-encoding utf8 --routing-context region=r1 \
        --routing-context tier=1
done
shardy --output-format text route 7 --routing-context region=r1 --routing-context tier=1
shardy verify --deep

echo "# the key alone"
shardy build --to "$SHARDY_S3_URL/keys" --cel 'shard_hash(key) % 3u' --cel-column key:int \
    --run-id r rows.jsonl
shardy --current-url "$SHARDY_S3_URL/keys" multiget 1 2 3000 3001 --value-encoding utf8
shardy --current-url "$SHARDY_S3_URL/keys" --output-format text verify --deep

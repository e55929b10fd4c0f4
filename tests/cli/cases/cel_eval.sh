. "$TESTS/lib.sh"
cat > rows.jsonl <<'EOF'
{"region":"eu","tier":1,"score":0.25,"vip":true}
{"region":"us","tier":2,"score":1e3,"vip":false}

{"tier":3,"region":"ap"}
{"region":"eu","tier":-4,"score":2}
EOF
all_formats cel eval 'region == "eu" ? 0 : 1' --column region:string --input rows.jsonl

echo "# not every result is a shard"
shardy cel eval 'tier' --column tier:int --input rows.jsonl
shardy cel eval 'tier' --column tier:int --input rows.jsonl --shards 3 --summary
shardy cel eval 'region' --column region:string --routing-value eu --routing-value us \
    --input rows.jsonl
shardy cel eval 'region + ":" + string(tier)' --column region:string --column tier:int \
    --infer-routing-values --summary --input - < rows.jsonl

echo "# kinds of results"
for expression in 'vip' 'score * 2.0' 'bytes(region)' '[region, string(tier)]' \
    'timestamp("2026-01-02T03:04:05.5Z")' 'uint(tier + 10)' 'duration("90s")' \
    'duration("-9223372036.000000001s")' '0.0 / 0.0' 'null'; do
    echo "$expression:"
    status shardy cel eval "$expression" --column region:string --column tier:int \
        --column score:double --column vip:bool --input rows.jsonl
done

echo "# CSV, JSON output with errors"
printf 'a,b\n1,x\n0,y\n,z\n' > rows.csv
status shardy --output-format json cel eval '6 / a' --column a:int --input rows.csv
printf 'a,b\n1,x\nnone,y\n' > rows.csv
status shardy cel eval 'a' --column a:int --input rows.csv 2>&1
status shardy cel eval 'c' --column c:int --input rows.csv 2>&1
status shardy cel eval 'c' --column c:int --input absent.csv 2>&1

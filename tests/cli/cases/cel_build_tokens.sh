. "$TESTS/lib.sh"
cat > rows.csv <<'EOF'
key,value,region,tier
a,1,us,2
b,2,eu,1
c,3,eu,2
d,4,us,2
EOF
echo "# categorical: the order of the values is that of the shards"
shardy build --to given --cel region --cel-column region:string --routing-value us \
    --routing-value eu --routing-value ap --key-encoding utf8 --run-id r rows.csv
export SHARDY_CURRENT=$PWD/given
shardy --output-format text shards
shardy multiget a b c --value-encoding utf8 --routing-context region=eu
shardy get a --value-encoding utf8 --routing-context region=mars
status shardy route a --routing-context region=mars 2>&1
shardy info
status shardy build --to given --cel region --cel-column region:string --routing-value us \
    --key-encoding utf8 rows.csv 2>&1

echo "# inferred: sorted values"
shardy build --to found --cel 'region + ":" + string(tier)' --cel-column region:string \
    --cel-column tier:int --infer-routing-values --key-encoding utf8 --run-id r rows.csv
SHARDY_CURRENT=$PWD/found
shardy info
shardy get c --value-encoding utf8 --routing-context region=eu --routing-context tier=2
status shardy get c --routing-context region=eu --routing-context tier=two 2>&1
shardy verify --deep

echo "# numbers and bytes as routing values"
shardy build --to numbers --cel tier --cel-column tier:uint --routing-value 18446744073709551615 \
    --routing-value 2 --routing-value 1 --key-encoding utf8 --run-id r rows.csv
shardy --current-url numbers info
shardy --current-url numbers get b --value-encoding utf8 --routing-context tier=1
printf '{"key":1,"value":"x","b":"/wA="}\n{"key":2,"value":"y","b":"YQ=="}\n' > rows.jsonl
shardy build --to bytes --cel b --cel-column b:bytes --infer-routing-values --run-id r rows.jsonl
shardy --current-url bytes info
shardy --current-url bytes get 1 --value-encoding utf8 --routing-context b=/wA=

echo "# errors"
exec 2>&1
status shardy build --to none --cel tier --cel-column tier:int --routing-value x rows.csv
status shardy build --to none --cel tier --cel-column tier:int --routing-value 1 --routing-value 1 \
    --key-encoding utf8 rows.csv
status shardy build --to none --cel tier --cel-column tier:int --routing-value 1 --shards 2 rows.csv
status shardy build --to none --cel tier --cel-column tier:int --routing-value 1 \
    --infer-routing-values rows.csv

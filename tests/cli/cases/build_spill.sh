. "$TESTS/lib.sh"
seq 1 500000 | awk 'BEGIN { print "key,value" } { print $1 ",a value of some length, so that rows need room " $1 }' |
    sed "s/,\(a value.*\)/,\"\1\"/" > v.csv
printf "7,last\n" >> v.csv
shardy --output-format json build --to s --shards 3 --memory 16M --run-id r v.csv > built.json
grep -e '"rows"' -e '"rows_written"' built.json
python3 -c "import json; print(json.load(open('built.json'))['spilled_bytes'] > 10000000)"
SHARDY_CURRENT=s rows --start 6 --end 9
SHARDY_CURRENT=s rows --start 499999
shardy --current-url s --output-format text verify --deep | sed "s/bytes=[0-9]*/bytes=N/"
find . -type f | grep -v -e shard.db -e shard.sidecar -e .bin | sort

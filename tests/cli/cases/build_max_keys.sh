. "$TESTS/lib.sh"
seq 1 1000 | awk 'BEGIN { print "key,value" } { print $1 "," $1 }' > v.csv
shardy build --to s --max-keys-per-shard 300 --run-id r v.csv > built.txt
shardy --current-url s --output-format text info | grep -e num_dbs -e row_count
shardy --current-url s --output-format text shards

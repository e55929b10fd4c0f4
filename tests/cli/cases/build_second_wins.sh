. "$TESTS/lib.sh"
printf "key,value\n1,a\n" > v.csv
shardy --output-format json build --to s --shards 1 --run-id r1 v.csv | grep -e replaced -e guarded -e published
shardy --output-format json build --to s --shards 1 --run-id r2 v.csv | grep -e replaced_run_id

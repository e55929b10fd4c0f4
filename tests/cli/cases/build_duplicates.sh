. "$TESTS/lib.sh"
seq 1 100000 | awk 'BEGIN { print "key,value" } { print $1 % 10 "," $1 }' > v.csv
shardy build --to s --shards 2 --run-id r --threads 4 v.csv > built.txt
SHARDY_CURRENT=s rows

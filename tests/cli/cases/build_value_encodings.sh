. "$TESTS/lib.sh"
printf "key,value\n1,aGk=\n" > v.csv
shardy build --to s --shards 1 --run-id r --value-encoding base64 v.csv > built.txt
SHARDY_CURRENT=s rows
printf "key,value\n1,6869\n2,zz\n" > v.csv
status shardy build --to s --shards 1 --value-encoding hex v.csv 2>&1
printf "key,value\n1,a===\n" > v.csv
status shardy build --to s --shards 1 --value-encoding base64 v.csv 2>&1

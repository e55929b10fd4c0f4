. "$TESTS/lib.sh"
printf "id,name,value\n1,x,y\n" > v.csv
shardy build --to s --shards 1 --run-id r --key id --value name v.csv > built.txt
SHARDY_CURRENT=s rows
shardy build --to t --shards 1 --run-id r --key value --value value --key-encoding utf8 v.csv > built.txt
SHARDY_CURRENT=t rows

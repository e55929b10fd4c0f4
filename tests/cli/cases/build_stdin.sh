. "$TESTS/lib.sh"
printf "key,value\n1,a\n" | shardy build --to s --shards 1 --format csv - > built.txt
SHARDY_CURRENT=s rows

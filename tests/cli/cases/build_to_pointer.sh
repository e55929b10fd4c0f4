. "$TESTS/lib.sh"
printf "key,value\n1,a\n" > v.csv
shardy build --to s/_CURRENT --shards 1 --run-id r v.csv > built.txt
shardy build --to "file://$PWD/s/_CURRENT" --shards 1 --run-id r2 v.csv > built.txt
ls s

. "$TESTS/lib.sh"
printf "key,value\n1,a\n2,b\n" > a.csv
printf '{"key":2,"value":"c"}\n{"key":3,"value":"d"}' > b.jsonl
printf "value\tkey\ne\t4\n" > c.tsv
shardy build --to s --shards 2 --run-id r a.csv b.jsonl c.tsv > built.txt
SHARDY_CURRENT=s rows

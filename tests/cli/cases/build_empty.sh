. "$TESTS/lib.sh"
printf "key,value\n" > v.csv
: > v.jsonl
for f in v.csv v.jsonl; do
    shardy build --to s --shards 3 --run-id run-$f $f > built.txt
    SHARDY_CURRENT=s rows
    shardy --current-url s --output-format text shards
done

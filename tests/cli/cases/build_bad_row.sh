. "$TESTS/lib.sh"
# Rows far into the input, in a later piece and a second file, with and without spilling.
seq 1 600000 | awk '{ print $1 ",value of row " $1 }' > body
{ echo key,value; cat body; echo 12x,bad; cat body; } > v.csv
{ echo key,value; echo 1,a; } > first.csv
for extra in "--threads 1" "--threads 3" "--memory 16M"; do
    # shellcheck disable=SC2086
    status shardy build --to s --shards 3 $extra first.csv v.csv 2>&1
done
seq 1 400000 | awk '{ print "{\"key\":" ($1 == 300000 ? "-4" : $1) ",\"value\":\"v\"}" }' > v.jsonl
status shardy build --to s --shards 3 v.jsonl 2>&1
find . -path ./.bin -prune -o -name "_CURRENT" -print -o -name manifest -print
# A row that only the library refuses.
python3 -c "
for i in range(3000):
    print('{\"key\":\"%s\",\"value\":\"v\"}' % ('k%d' % i if i != 2000 else 'k' * 3000000))
" > long.jsonl
status shardy build --to s --shards 3 --key-encoding utf8 long.jsonl 2>&1

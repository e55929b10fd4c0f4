. "$TESTS/lib.sh"
printf "key,value\n4294967295,a\n0,b\n" > v.csv
for e in u64be u32be utf8 raw; do
    shardy build --to $e --shards 2 --run-id r --key-encoding $e v.csv > built.txt
    shardy --current-url $e --output-format text info | grep key_encoding
    SHARDY_CURRENT=$e rows
done
printf "key,value\n4294967296,a\n" > v.csv
status shardy build --to s --shards 2 --key-encoding u32be v.csv 2>&1
printf "key,value\nok,1\n\377,a\n" > v.csv
status shardy build --to s --shards 2 --key-encoding utf8 v.csv 2>&1
shardy build --to b --shards 2 --key-encoding raw --run-id r v.csv > built.txt
SHARDY_CURRENT=b rows

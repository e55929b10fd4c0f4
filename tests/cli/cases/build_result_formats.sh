. "$TESTS/lib.sh"
printf "key,value\n1,a\n" > v.csv
for format in json jsonl table text; do
    shardy --output-format $format build --to s --shards 2 --run-id run-$format v.csv | sed "s/\(bytes\": \|bytes=\)[0-9]*/\1N/g"
done
shardy build --to s --shards 2 --run-id run-last v.csv | sed "s/bytes=[0-9]*/bytes=N/"

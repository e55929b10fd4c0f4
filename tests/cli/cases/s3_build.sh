. "$TESTS/lib.sh"
SHARDY_CURRENT=$SHARDY_S3_URL/a/b
export SHARDY_CURRENT
printf 'key,value\n1,one\n2,two\n' > first.csv
printf '{"key":2,"value":"deux"}\n{"key":3,"value":"trois"}\n' > second.jsonl

echo "# two inputs, one snapshot"
status shardy build --to "$SHARDY_CURRENT" --shards 2 --run-id run-1 first.csv second.jsonl
objects
rows

echo "# not published: the pointer stays"
for format in json jsonl table text; do
    shardy --output-format $format build --to "$SHARDY_CURRENT" --shards 1 --run-id "unseen-$format" \
        --no-publish --no-sidecar first.csv
done
rows
shardy --output-format text --offset 0 info

echo "# published: readers move on, older snapshots stay"
shardy build --to "$SHARDY_CURRENT/_CURRENT" --shards 1 --run-id run-2 --page-size auto - \
    --format csv < first.csv
rows
shardy --output-format table history --limit 2
shardy --offset 1 --output-format text get 1

echo "# a run id is used once"
status shardy build --to "$SHARDY_CURRENT" --shards 1 --run-id run-1 first.csv 2>&1

echo "# a bad row leaves nothing behind"
objects > before
printf 'key,value\n1,one\nx,two\n' > bad.csv
status shardy build --to "$SHARDY_CURRENT" --shards 1 --run-id run-bad bad.csv 2>&1
objects > after
cmp before after && echo same

. "$TESTS/lib.sh"
touch v.csv
for a in "v.csv" "--to s v.csv" "--to s --shards 1 --max-keys-per-shard 1 v.csv" \
    "--to s --shards 0 v.csv" "--to s --shards 1048577 v.csv" "--to s --max-keys-per-shard 0 v.csv" \
    "--to s --shards 1 --threads 0 v.csv" "--to s --shards 1 --memory 1M v.csv" \
    "--to s --shards 1 --memory x v.csv" "--to s --shards 1 --page-size 5000 v.csv" \
    "--to s --shards 1 --value-json --value x v.csv" "--to s --shards 1 - -" \
    "--to s --shards 1 - --format csv -" "--to s --shards 1 v.dat" "--to s --shards 1" \
    "--to v.csv --shards 1 v.csv" "--to s --shards 1 --key-encoding x v.csv" \
    "--to s --shards 1 --format kv --value-json v.csv" "--to file://x --shards 1 v.csv"; do
    echo "--- $a"
    # shellcheck disable=SC2086
    status shardy build $a 2>&1 | tail -2
done

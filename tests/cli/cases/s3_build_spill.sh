. "$TESTS/lib.sh"
mkdir spill
seq 1 400000 | awk '{ printf "{\"key\":%d,\"value\":\"%064d\"}\n", ($1 * 7919) % 400009, $1 }' |
    TMPDIR=$PWD/spill shardy --trace build --to "$SHARDY_S3_URL/big" --max-keys-per-shard 60000 \
        --memory 16M --threads 2 --run-id run-spill --format jsonl - 2> trace.txt > built.txt
grep -o 'shards=.*rows=[0-9]*' built.txt
find spill
SHARDY_CURRENT=$SHARDY_S3_URL/big
export SHARDY_CURRENT
shardy --output-format text info | grep -o 'row_count[^ ]*'
shardy --output-format text get 7919 --value-encoding utf8
shardy --sqlite-mode download scan --keys-only | wc -l

. "$TESTS/lib.sh"
s3_snapshot
shardy build --to here --shards 4 --run-id run-s3 --key-encoding utf8 rows.csv > built.txt
# A report without places.
report() {
    shardy --output-format text "$@" | sed "s#$SHARDY_S3_URL/snap#<PLACE>#g; s#file://$PWD/here#<PLACE>#g
        s#manifest [^ ]*manifests/[^ ]*#<MANIFEST>#g"
}
# The report on the objects says what that on equal files says.
same() {
    report "$@" > remote.txt
    report --current-url here "$@" > local.txt
    cat remote.txt
    diff remote.txt local.txt && echo same
}
status shardy verify | tail -n 1
same verify
same verify --deep
same verify --deep --threads 1
echo "# a flipped byte in a shard"
for folder in "$SHARDY_S3_FOLDER/snap" here; do
    printf '\377' | dd of="$folder/shards/run_id=run-s3/db=00001/attempt=00/shard.db" \
        bs=1 seek=5000 conv=notrunc 2> err.txt
done
status shardy verify --deep | tail -n 1
same verify --deep
echo "# a shard that is gone"
for folder in "$SHARDY_S3_FOLDER/snap" here; do
    rm "$folder/shards/run_id=run-s3/db=00002/attempt=00/shard.db"
done
for place in "$SHARDY_CURRENT" here; do
    status shardy --output-format text --current-url "$place" verify |
        grep -o -e '^damage: [a-z]* *db=00002' -e '^exit.*'
done
echo "# no snapshot"
shardy --current-url "$SHARDY_S3_URL/none" verify | grep -o 'nothing was published here'

. "$TESTS/lib.sh"
printf 'key,value\n1,one\n2,two\n' > two.csv
shardy build --to "$SHARDY_S3_URL/snap" --shards 1 --run-id run-s3 two.csv > built.txt
SHARDY_CURRENT=$SHARDY_S3_URL/snap
export SHARDY_CURRENT
cd "$SHARDY_S3_FOLDER/snap"
mv shards gone
for mode in range download auto; do
    status shardy --sqlite-mode $mode get 1
    status shardy --sqlite-mode $mode multiget 1 2
done
mv gone shards
mv manifests gone
status shardy get 1
mv gone manifests
status shardy --output-format text get 1
printf 'not a pointer' > _CURRENT
status shardy get 1

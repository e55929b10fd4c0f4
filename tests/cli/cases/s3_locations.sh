. "$TESTS/lib.sh"
printf 'key,value\n1,one\n' > one.csv
for to in "$SHARDY_S3_URL" "$SHARDY_S3_URL/" "$SHARDY_S3_URL/p/_OTHER" "$SHARDY_S3_URL/sp ace/ü+%"; do
    shardy build --to "$to" --shards 1 one.csv > built.txt
    shardy --output-format text --current-url "$to" get 1
done
objects | sed 's/run_id=[0-9a-f]*/run_id=X/'
shardy --output-format text --current-url "$SHARDY_S3_URL/_CURRENT" get 1
ref=$(shardy --current-url "$SHARDY_S3_URL" info | grep -o 's3://[^"]*')
shardy --output-format text --current-url "$SHARDY_S3_URL" --ref "$ref" get 1
status shardy --current-url "$SHARDY_S3_URL" --offset 1 get 1
status shardy --current-url "$SHARDY_S3_URL" --ref "$SHARDY_S3_URL/manifests/none/manifest" get 1
status shardy --current-url s3:// get 1
status shardy --current-url s3://Not_A_Bucket/x get 1

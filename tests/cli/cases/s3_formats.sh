. "$TESTS/lib.sh"
printf 'key,value\n1,one\n2,two\n3,three\n5,\n42,"forty, two"\n' > small.csv
shardy build --to "$SHARDY_S3_URL/snap" --shards 3 --run-id run-s3 small.csv > built.txt
SHARDY_CURRENT=$SHARDY_S3_URL/snap
export SHARDY_CURRENT
all_formats get 42 --value-encoding utf8
all_formats get 7
status shardy get --strict 7 2>&1
all_formats multiget 1 5 7
printf '1\n42\n' | shardy --output-format text multiget -
all_formats route 42
all_formats info
all_formats shards
all_formats history
all_formats health
status shardy health --staleness-threshold 0.000001 | grep -o '"status": "[a-z]*"'
all_formats scan --keys-only

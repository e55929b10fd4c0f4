. "$TESTS/lib.sh"
small_snapshot
bad() { status shardy "$@" info 2>&1 | tail -2; }
bad --s3-option nothing
bad --s3-option secret_access_key=x
bad --sqlite-mode sometimes
bad --sqlite-auto-per-shard-bytes -1
bad --sqlite-auto-total-bytes -5
bad --sqlite-auto-total-bytes many
# Local stores ignore them all.
shardy --s3-option region_name=x --s3-option " endpoint_url = http://nowhere " --s3-option =v \
    --sqlite-mode RANGE --sqlite-auto-per-shard-bytes 0 --sqlite-auto-total-bytes 0 --trace \
    get 2 --value-encoding utf8 2> trace.txt
sed 's/[0-9.]* ms/T ms/g' trace.txt

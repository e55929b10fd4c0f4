. "$TESTS/lib.sh"
s3_snapshot
requests() {
    "$@" --trace --output-format text multiget --value-encoding utf8 k00001 k00002 k19999 none 2> trace.txt
    grep -o '[0-9]* requests' trace.txt
}
echo "# range: nothing is kept on disk"
requests shardy --sqlite-mode range
[ ! -e cache ] && echo "no cache"
echo "# download: whole shards, once"
requests shardy --sqlite-mode download
find cache -type f | wc -l
requests shardy --sqlite-mode download
echo "# auto: these shards are small"
requests shardy
requests shardy --sqlite-mode auto --sqlite-auto-per-shard-bytes 1
rm -rf cache
requests shardy --sqlite-auto-total-bytes 0
[ ! -e cache ] && echo "no cache"
echo "# a cache that cannot be made"
: > file
requests env XDG_CACHE_HOME="$PWD/file" shardy --sqlite-mode range
status env XDG_CACHE_HOME="$PWD/file" shardy --sqlite-mode download get k00001
status shardy --sqlite-auto-total-bytes -1 get k00001 2>&1 | tail -2

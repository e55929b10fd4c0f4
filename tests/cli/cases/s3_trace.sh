# with_s3: --latency-ms 20
. "$TESTS/lib.sh"
s3_snapshot
proxy() {
    "$SHARDY_FAULT_PROXY" --send "$SHARDY_PROXY_CONTROL" "$*"
}
# Round trips as the tool says and as the proxy counts them.
traced() {
    proxy reset > /dev/null
    "$@" > out.txt 2> trace.txt
    echo "exit $?, $(grep -o '[0-9]* requests*.*round trips*' trace.txt);" \
        "proxy: $(proxy stats | grep -o '"\(requests\|rounds\)": *[0-9]*' | tr '\n' ' ')"
}
echo "# cold get: pointer, manifest, tail of the shard, page"
traced shardy --trace --sqlite-mode range get k00042
cat out.txt
sed 's/^trace: *[0-9.]* *[0-9.]*  /trace: <MS> <MS> /; s/ [0-9]*  manifests/ <BYTES>  manifests/
    s/shard.db [0-9][0-9]*-[0-9][0-9]*$/shard.db <RANGE>/
    s/[0-9]* bytes received/<BYTES> bytes received/' trace.txt
echo "# cold multiget over all shards"
traced shardy --trace --sqlite-mode range multiget k00001 k00002 k00003 k00004 k00005 k00006 k00007
echo "# absent key"
traced shardy --trace --sqlite-mode range get none
echo "# no shard is read"
traced shardy --trace info
traced shardy --trace shards
traced shardy --trace route k00001
traced shardy --trace health
traced shardy --trace history
echo "# a failed try is repeated and shown"
proxy rule fault=slow-down nth=2 > /dev/null
traced shardy --trace --sqlite-mode range get k00042
grep -o 'manifests/.*' trace.txt
echo "# a failed command is traced as well"
proxy clear > /dev/null
traced shardy --trace --current-url "$SHARDY_S3_URL/none" get k00042
grep -o '[0-9]* *_CURRENT.*' trace.txt
echo "# local snapshots make no requests"
printf 'key,value\n1,one\n' > one.csv
shardy --trace build --to here --shards 1 one.csv 2>&1 > built.txt

# with_s3: --bandwidth 300000
. "$TESTS/lib.sh"
seq 1 200000 | awk 'BEGIN { print "key,value" } { printf "%d,%0100d\n", $1, $1 }' > rows.csv
shardy build --to "$SHARDY_S3_URL/snap" --shards 1 --run-id r rows.csv 2> err.txt &
job=$!
# A look at the folder and the start of the upload are over: parts are under way, which take more
# than a minute at this bandwidth.
for _ in $(seq 1 600); do
    "$SHARDY_FAULT_PROXY" --send "$SHARDY_PROXY_CONTROL" stats |
        grep -q '"requests": *[3-9]' && break
    sleep 0.1
done
"$SHARDY_FAULT_PROXY" --send "$SHARDY_PROXY_CONTROL" "set bandwidth=0" > /dev/null
kill -INT $job
wait $job
echo "exit $?"
cat err.txt
echo "# requests that change something: the upload is begun, a part sent, all of it aborted"
"$SHARDY_FAULT_PROXY" --send "$SHARDY_PROXY_CONTROL" log |
    grep -o '"method": *"\(POST\|PUT\|DELETE\)"' | sort -u
echo "# left behind"
objects

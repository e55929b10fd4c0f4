. "$TESTS/lib.sh"
# The rows of two shards, shard by shard, keys ascending: read back from a build in any order.
seq 1 3000 | awk 'BEGIN { print "key,value" } { print $1 ",v" $1 }' > rows.csv
shardy build --to any --shards 2 --run-id r rows.csv > built.txt
dumped() {
    python3 -c 'import sqlite3, sys
for key, value in sqlite3.connect(sys.argv[1]).execute("SELECT k, v FROM kv ORDER BY k"):
    print("%d,%s" % (int.from_bytes(key, "big"), value.decode()))' \
        any/shards/run_id=r/db=0000"$1"/attempt=00/shard.db
}
{ echo key,value; dumped 1; dumped 0; } > sorted.csv
{ echo key,value; dumped 1 | tac; dumped 0; } > grouped.csv
wc -l < sorted.csv
for order in any grouped sorted; do
    for rows in sorted grouped; do
        echo "--- $order: $rows.csv"
        status shardy build --to $order-$rows --shards 2 --input-order $order --run-id r \
            $rows.csv 2>&1 | grep -e exit -e error:
        for db in 0 1; do
            file=shards/run_id=r/db=0000$db/attempt=00/shard.db
            test ! -f $order-$rows/$file || cmp any/$file $order-$rows/$file
        done
    done
done
echo "--- a row that comes late"
{ cat sorted.csv; sed -n 2p sorted.csv; } > late.csv
status shardy build --to late --shards 2 --input-order grouped late.csv 2>&1
find . -path './late/*' -type f ! -name .lock
echo "--- usage"
status shardy build --to s --max-keys-per-shard 10 --input-order sorted sorted.csv 2>&1 | tail -2
status shardy build --to s --shards 2 --input-order x sorted.csv 2>&1 | tail -2

. "$TESTS/lib.sh"
printf "key,value\n1,a\n" > v.csv
for p in 4096 65536 auto; do
    shardy build --to s$p --shards 1 --run-id r --page-size $p --no-sidecar v.csv > built.txt
    SHARDY_CURRENT=s$p rows
    find s$p -name shard.sidecar
done

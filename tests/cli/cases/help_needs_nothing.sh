. "$TESTS/lib.sh"
for c in build get health history info multiget route scan shards verify; do
    shardy $c --help | head -1
    shardy $c -h > second.txt
    shardy $c --help | cmp - second.txt
done

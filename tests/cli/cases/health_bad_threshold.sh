. "$TESTS/lib.sh"
small_snapshot
for t in nan inf 1e300 x; do
    status shardy health --staleness-threshold $t 2>&1 | tail -2
done

. "$TESTS/lib.sh"
small_snapshot
for f in table text; do
    status shardy --output-format $f health
done
shardy health
shardy --output-format json health | tail -3
status shardy --output-format text health --staleness-threshold 1000
status shardy --output-format text health --staleness-threshold 0
status shardy health --staleness-threshold=-1

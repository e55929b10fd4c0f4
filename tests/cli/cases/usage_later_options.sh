. "$TESTS/lib.sh"
for o in --config --credentials; do
    status shardy $o x info 2>&1 | tail -2
done

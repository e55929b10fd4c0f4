. "$TESTS/lib.sh"
for o in --config --credentials --s3-option --sqlite-mode --sqlite-auto-per-shard-bytes; do
    status shardy $o x info 2>&1 | tail -2
done

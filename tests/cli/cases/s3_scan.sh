. "$TESTS/lib.sh"
s3_snapshot
for mode in range download auto; do
    echo "# $mode"
    shardy --sqlite-mode $mode --output-format text scan --value-encoding utf8 \
        --start k00010 --end k00013
    shardy --sqlite-mode $mode --output-format text scan --keys-only --prefix k1999 --limit 4
    shardy --sqlite-mode $mode scan --shard 2 --keys-only --limit 2
    shardy --sqlite-mode $mode scan --value-encoding utf8 | cksum
    shardy --sqlite-mode $mode scan --start zzz
done
status shardy --output-format text scan --limit 1

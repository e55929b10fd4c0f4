. "$TESTS/lib.sh"
small_snapshot
for k in " 1 " +1 1_000 ١ 0001; do
    shardy --output-format text get --value-encoding utf8 "$k"
done
for k in 0x1 1__0 _1 1_ "" + "1 2" 1.0; do
    status shardy get "$k" 2>&1
done

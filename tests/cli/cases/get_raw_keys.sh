. "$TESTS/lib.sh"
raw_snapshot
for k in ff00 FF00 6f6b; do
    shardy get --key-format hex --value-encoding utf8 $k
done
shardy get --key-format base64 --value-encoding utf8 /wA=
shardy get --value-encoding utf8 ok
for k in f f0g0; do
    status shardy get --key-format hex $k 2>&1
done
status shardy get --key-format base64 /wA 2>&1

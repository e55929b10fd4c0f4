. "$TESTS/lib.sh"
small_snapshot
for e in base64 hex utf8 HEX; do
    shardy get --value-encoding $e 42
done

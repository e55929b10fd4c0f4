. "$TESTS/lib.sh"
small_snapshot
SHARDY_CURRENT=
cp snap/_CURRENT snap/OTHER
for url in snap snap/ ./snap snap/_CURRENT "$PWD/snap" "$PWD/snap/_CURRENT" "file://$PWD/snap" \
    "file://$PWD/snap/_CURRENT" "file://$PWD/snap/_CURRENT//" snap/OTHER snap/../snap ; do
    shardy --output-format text --current-url "$url" get 2
done
cd snap && shardy --output-format text --current-url . get 2
shardy --output-format text --current-url _CURRENT get 2

. "$TESTS/lib.sh"
small_snapshot
for name in "with space" "per%20cent" "ünï" "a#b?c"; do
    cp -r snap "$name"
    shardy --output-format text --current-url "$name" get 2
done

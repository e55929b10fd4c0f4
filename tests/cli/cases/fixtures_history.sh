. "$TESTS/lib.sh"
need_fixtures
for n in 0 1 2; do
    shardy --current-url "$SHARDY_FIXTURES/original/hash-u64be/objects" --offset $n --output-format text info | head -2
done
shardy --current-url "$SHARDY_FIXTURES/original/hash-u64be/objects" --output-format text history

. "$TESTS/lib.sh"
need_fixtures
cd "$SHARDY_FIXTURES/original" || exit 1
for f in */; do
    echo "${f%/}"
    shardy --current-url "$f/objects" --output-format text info 2>&1
    shardy --current-url "$f/objects" --output-format text shards 2>&1
done

. "$TESTS/lib.sh"
need_fixtures
cd "$SHARDY_FIXTURES/original" || exit 1
for f in */; do
    echo "${f%/} $(shardy --current-url "$f/objects" --output-format text verify --deep 2>&1)"
done

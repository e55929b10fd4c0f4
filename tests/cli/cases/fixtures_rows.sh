. "$TESTS/lib.sh"
need_fixtures
python3 "$TESTS/fixture_rows.py" "$SHARDY_FIXTURES/original"

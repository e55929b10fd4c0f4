. "$TESTS/lib.sh"
need_fixtures
SHARDY_CURRENT=$SHARDY_FIXTURES/original/hash-u64be/objects
export SHARDY_CURRENT
# Published long ago; the tool opens it now.
status shardy --output-format text health --staleness-threshold 10
status shardy --output-format text --offset 2 health --staleness-threshold 10
status shardy --output-format text health --staleness-threshold 1e10

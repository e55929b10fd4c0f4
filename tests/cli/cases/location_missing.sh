. "$TESTS/lib.sh"
status shardy --current-url nowhere get 1
status shardy --current-url nowhere --output-format json info
status shardy --current-url nowhere health

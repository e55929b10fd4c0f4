. "$TESTS/lib.sh"
small_snapshot
shardy --output-format text verify | sed "s/bytes=[0-9]*/bytes=N/"
shardy verify --deep --threads 2 | sed "s/\(bytes_checked\": \)[0-9]*/\1N/"
shardy --output-format json verify | head -4

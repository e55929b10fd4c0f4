. "$TESTS/lib.sh"
status shardy --current-url gs://bucket/prefix info
status shardy --current-url http://x/y/_CURRENT info
status shardy --current-url file://relative info
status shardy --current-url memory://nothing info

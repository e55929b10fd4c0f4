. "$TESTS/lib.sh"
mkdir empty
status shardy --current-url empty verify > out.txt 2> err.txt
tail -1 out.txt

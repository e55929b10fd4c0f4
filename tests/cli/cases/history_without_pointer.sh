. "$TESTS/lib.sh"
small_snapshot
rm snap/_CURRENT
shardy --output-format text history
echo broken > snap/_CURRENT
shardy --output-format text history
mkdir empty
shardy --current-url empty --output-format text history
shardy --current-url empty history

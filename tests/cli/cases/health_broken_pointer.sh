. "$TESTS/lib.sh"
small_snapshot
echo "{" > snap/_CURRENT
status shardy health

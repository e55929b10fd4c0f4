. "$TESTS/lib.sh"
small_snapshot
seq 1 20000 | shardy --output-format text multiget - | grep -v =null
seq 1 20000 | shardy multiget - | python3 -c "import json,sys; r=json.load(sys.stdin)['results']; print(len(r), [x['key'] for x in r if x['found']])"

. "$TESTS/lib.sh"
small_snapshot
printf "key,value\n1,unseen\n" > v.csv
shardy build --to snap --shards 1 --run-id run-hidden --no-publish v.csv | cut -d" " -f1
shardy get 1 --value-encoding utf8
shardy --output-format text history

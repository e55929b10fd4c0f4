. "$TESTS/lib.sh"
printf "\357\273\277key,note,value\r\n1,\"x\",\"a\r\nb\"\r\n\r\n2,\"say \"\"hi\"\"\", spaced \r\n3,,\"\"" > v.csv
shardy build --to s --shards 1 --run-id r v.csv > built.txt
SHARDY_CURRENT=s shardy scan --value-encoding utf8
shardy build --to j --shards 1 --run-id r --value-json v.csv > built.txt
SHARDY_CURRENT=j rows

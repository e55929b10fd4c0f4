. "$TESTS/lib.sh"
python3 -c "
print('key,value')
print('1,' + 'a' * 9000000)
print('2,\"' + 'b\n' * 3000000 + '\"')
print('3,c')
" > v.csv
shardy build --to s --shards 1 --run-id r v.csv > built.txt
SHARDY_CURRENT=s rows | wc -c
SHARDY_CURRENT=s rows --start 3
printf "x,1\n" >> v.csv
status shardy build --to t --shards 1 v.csv 2>&1

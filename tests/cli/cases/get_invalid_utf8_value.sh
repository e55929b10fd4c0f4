printf "key,value\n1,ff41\n" > v.csv
shardy build --to s --shards 1 --run-id r --value-encoding hex v.csv > built.txt
shardy --current-url s get 1 --value-encoding utf8
shardy --current-url s get 1 --value-encoding hex

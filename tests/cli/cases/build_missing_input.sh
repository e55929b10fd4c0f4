. "$TESTS/lib.sh"
mkdir folder.csv
status shardy build --to s --shards 1 nothing.csv
status shardy build --to s --shards 1 folder.csv
ls

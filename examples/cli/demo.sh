#!/bin/sh
# demo.sh - the shardy command from a CSV file to a second version, in an empty folder.
# Usage: demo.sh FOLDER     (shardy must be in PATH)
set -eu

folder=$1
export SHARDY_CURRENT="$folder"

printf 'key,value\n1,one\n2,two\n3,three\n' | shardy build --to "$folder" --shards 2 --format csv -
shardy --output-format text get 2
shardy --output-format text multiget 1 3 99

# The same keys again with another value: readers see the new version, the old one stays.
printf 'key,value\n1,uno\n2,dos\n3,tres\n' | shardy build --to "$folder" --shards 2 --format csv -
shardy --output-format text get 2
shardy --output-format text --offset 1 get 2
shardy --output-format table shards
shardy verify --deep

. "$TESTS/lib.sh"
small_snapshot
printf " 1 \n\n99\r\n2" | shardy multiget -
printf "3\n" | shardy --output-format text multiget 1 -
status sh -c "printf '\n \n' | shardy multiget -" 2>&1

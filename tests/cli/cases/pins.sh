. "$TESTS/lib.sh"
small_snapshot
printf "key,value\n1,new\n" > new.csv
shardy build --to snap --shards 1 --run-id run-second new.csv > built.txt
old=$(shardy history | sed "s/.*\"ref\": \"\([^\"]*\)\".*/\1/")
for pin in "--offset 0" "--offset 1" "--ref $old"; do
    # shellcheck disable=SC2086
    shardy $pin get 1 --value-encoding utf8
done
shardy --offset 1 --output-format text info | head -2
status shardy --offset 2 get 1 2>&1
status shardy --ref "${old}x" get 1 2>&1
shardy --output-format text history

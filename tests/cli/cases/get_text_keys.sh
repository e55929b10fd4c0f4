. "$TESTS/lib.sh"
text_snapshot
for k in anna björn "" BERT " bert"; do
    shardy get --value-encoding utf8 "$k"
done
bad=$(printf "a\377b")
status shardy get "$bad" 2>&1

. "$TESTS/lib.sh"
small_snapshot
shardy build --to snap --shards 1 --run-id run-second small.csv > built.txt
newest=$(ls snap/manifests | tail -1)
echo damaged > "snap/manifests/$newest/manifest"
shardy --offset 0 get 1 > out.txt 2> err.txt
echo "exit $?"
cat err.txt
shardy get 1 --value-encoding utf8

. "$TESTS/lib.sh"
mkfifo pipe.jsonl
shardy build --to s --shards 1 --run-id r pipe.jsonl 2> err.txt &
job=$!
exec 9> pipe.jsonl
printf '{"key":1,"value":"a"}\n' >&9
sleep 0.5
kill -INT $job
wait $job
echo "exit $?"
cat err.txt
[ ! -e s ] || find s -type f

printf '%s\n' '{"key":"q\"b\\\\n\u0001\u007f/","value":"x"}' > v.jsonl
shardy build --to s --shards 1 --run-id r --key-encoding utf8 v.jsonl > built.txt
shardy --current-url s scan

. "$TESTS/lib.sh"
try() {
    printf "%s\n" '{"key":1,"value":"a"}' "$@" > v.jsonl
    status shardy build --to s --shards 1 v.jsonl 2>&1 | cut -c1-120
}
try "{"
try "[1]"
try "" '{"key":2}'
try '{"value":"x"}'
try '{"key":null,"value":"x"}'
try '{"key":2,"value":null}'
try '{"key":-2,"value":"x"}'
try '{"key":2.5,"value":"x"}'
try '{"key":{"a":[1,"}"]},"value":"x"}'
try '{"key":18446744073709551615,"value":"x"}'
try '{"key":2,"value":"x"} {"key":3,"value":"y"}'
try '{"key":2,"value":"x",}'
try '{"key":2,"value":"\ud800"}'
try '{"key":"x y","value":"x"}'
ls

# lib.sh - what several cases need. Sourced by them.

# Run a command, then print its exit code.
status() {
    "$@"
    echo "exit $?"
}

# Six rows in a snapshot of three shards at ./snap, integer keys.
small_snapshot() {
    cat > small.csv <<'EOF'
key,value
1,one
2,two
3,three
5,
42,"forty, two"
1000,thousand
EOF
    shardy build --to snap --shards 3 --run-id run-small small.csv > built.txt
    SHARDY_CURRENT=$PWD/snap
    export SHARDY_CURRENT
}

# Four rows with text keys, three shards, at ./names.
text_snapshot() {
    printf '%s\n' '{"key":"anna","value":"A"}' '{"key":"bert","value":"B"}' \
        '{"key":"björn","value":"BJ"}' '{"key":"","value":"empty"}' > names.jsonl
    shardy build --to names --shards 3 --run-id run-names --key-encoding utf8 names.jsonl > built.txt
    SHARDY_CURRENT=$PWD/names
    export SHARDY_CURRENT
}

# Two keys that are not text, one shard, at ./raws.
raw_snapshot() {
    printf '%s\n' 'key,value' 'ff00,626164' '6f6b,6f6b' > raws.csv
    shardy build --to raws --shards 1 --run-id run-raws --key-encoding raw --key-format hex \
        --value-encoding hex raws.csv > built.txt
    SHARDY_CURRENT=$PWD/raws
    export SHARDY_CURRENT
}

# Every output format of one command.
all_formats() {
    for format in json jsonl table text; do
        echo "--- $format"
        shardy --output-format $format "$@"
    done
}

# All rows as key=value text, in key order.
rows() {
    shardy --output-format text scan --value-encoding utf8 "$@"
}

# Leave the case when the original's snapshots are not on this machine.
need_fixtures() {
    if [ ! -d "$SHARDY_FIXTURES/original" ]; then
        echo "SKIP no $SHARDY_FIXTURES/original"
        exit 0
    fi
}

# Rows with text keys in four shards of S3, big enough that a value is not on the first page read.
s3_snapshot() {
    seq 1 20000 | awk 'BEGIN { print "key,value" }
        { printf "k%05d,value %d of the rows of this snapshot\n", $1, $1 }' > rows.csv
    shardy build --to "$SHARDY_S3_URL/snap" --shards 4 --run-id run-s3 --key-encoding utf8 rows.csv \
        > built.txt
    SHARDY_CURRENT=$SHARDY_S3_URL/snap
    export SHARDY_CURRENT
}

# Names of the objects in the bucket, as the server keeps them: unfinished uploads included.
objects() {
    (cd "$SHARDY_S3_FOLDER" && find . -type f | sort)
}

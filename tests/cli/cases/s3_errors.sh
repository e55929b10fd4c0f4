. "$TESTS/lib.sh"
printf 'key,value\n1,one\n' > one.csv
shardy build --to "$SHARDY_S3_URL/snap" --shards 1 --run-id run-s3 one.csv > built.txt
SHARDY_CURRENT=$SHARDY_S3_URL/snap
export SHARDY_CURRENT
{
    echo "# wrong secret"
    for command in "get 1" health scan history "build --to $SHARDY_CURRENT --shards 1 one.csv"; do
        status env AWS_SECRET_ACCESS_KEY=wrong-secret-0123456789 shardy $command
    done
    env AWS_SECRET_ACCESS_KEY=wrong-secret-0123456789 shardy verify | grep -o 'HTTP 403 [A-Za-z]*'
    echo "# no bucket"
    status shardy --current-url s3://no-such-bucket/x get 1
    status shardy --current-url s3://no-such-bucket/x health
    status shardy build --to s3://no-such-bucket/x --shards 1 one.csv
    echo "# no snapshot"
    status shardy --current-url "$SHARDY_S3_URL/none" get 1
    status shardy --current-url "$SHARDY_S3_URL/none" health
    status shardy --current-url "$SHARDY_S3_URL/none" history
    echo "# nobody listens"
    for command in "get 1" "build --to $SHARDY_CURRENT --shards 1 one.csv"; do
        status shardy --s3-option endpoint_url=http://127.0.0.1:9 --s3-option max_attempts=2 $command 2>&1 |
            grep -o -e 'Failed to connect to 127.0.0.1 port 9' -e '([0-9]* attempts)' -e '^exit.*'
    done
    echo "# options"
    status shardy --s3-option colour=red get 1
    status shardy --s3-option max_attempts=x get 1
    status shardy --s3-option secret_access_key=secret-in-the-open get 1
} > out.txt 2>&1
cat out.txt
! grep -e wrong-secret -e secret-in-the-open -e "$AWS_SECRET_ACCESS_KEY" out.txt && echo "no secret is shown"

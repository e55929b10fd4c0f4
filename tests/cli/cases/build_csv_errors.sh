. "$TESTS/lib.sh"
try() {
    printf "$1" > v.csv
    status shardy build --to s --shards 1 v.csv 2>&1
}
try ""
try "key,other\n1,2\n"
try "a,value\n1,2\n"
try "key,value,key\n1,2,3\n"
try "key,value\n1,2\n3\n"
try "key,value\n1,2\n3,4,5\n"
try "key,value\n1,a\"b\n"
try "key,value\n1,\"a\"b\n"
try "key,value\n1,2\n2,\"a\nb\nc"
try "key,value\n1,\"a\nb\"\nx,1\n"
try "key,value\n,1\n"
try "key,value\n-1,1\n"
try "key,value\n9223372036854775808,1\n"
try "key,value\n99999999999999999999,1\n"
try "\"key,value\n1,2\n"
ls

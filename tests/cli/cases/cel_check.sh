. "$TESTS/lib.sh"
all_formats cel check 'shard_hash(tenant + "/" + string(tier)) % 8u' --column tenant:string \
    --column tier:int --column unused:double
status shardy cel check 'tenant.split("/").size()' --column tenant:string

echo "# errors"
exec 2>&1
status shardy cel check 'regoin == "eu" ? 0 : 1' --column region:string
status shardy cel check '(key + 1' --column key:int
status shardy cel check 'key % 10u' --column key:int
status shardy cel check 'key' --column key:integer
status shardy cel check 'key' --column key:int --column key:uint
status shardy cel try 'key'
status shardy cel check 'key' --input rows.jsonl
status shardy cel eval 'key'

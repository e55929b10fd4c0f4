. "$TESTS/lib.sh"
python3 -c "
import struct
out = open('v.kv', 'wb')
for key, value in ((1, b'one'), (2, b''), (1, b'again')):
    key = key.to_bytes(8, 'big')
    out.write(struct.pack('<I', len(key)) + key + struct.pack('<I', len(value)) + value)
"
shardy build --to s --shards 1 --run-id r v.kv > built.txt
SHARDY_CURRENT=s rows
head -c 40 v.kv > cut.kv
status shardy build --to t --shards 1 cut.kv 2>&1
status shardy build --to t --shards 1 --key-encoding u32be v.kv 2>&1
shardy build --to w --shards 1 --run-id r --key-encoding raw v.kv > built.txt
SHARDY_CURRENT=w shardy get --key-format hex --value-encoding utf8 0000000000000001

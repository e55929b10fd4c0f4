. "$TESTS/lib.sh"
shardy --current-url s3://my-bucket/some/prefix/_CURRENT iam-policy read
shardy --current-url s3://my-bucket/ iam-policy write | python3 -c '
import json, sys
for s in json.load(sys.stdin)["Statement"]:
    print(s["Sid"], s["Action"], s["Resource"], s.get("Condition"))'
status shardy --current-url s3://my-bucket/p iam-policy delete 2>&1 | tail -2
status shardy --current-url "$PWD" iam-policy read 2>&1 | tail -2

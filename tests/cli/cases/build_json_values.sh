. "$TESTS/lib.sh"
cat > v.jsonl <<'EOF'
{"key": 1, "value": "text é \u00e9 \n"}
{"key": "2", "value": 1.50}
{"value": {"a" : [1, 2.0, "x, }"]}, "key": 3}
{"key": 4, "value": true, "value": [ ]}

   
{"x":"\"key\":9","key":5,"value":""}
EOF
shardy build --to s --shards 1 --run-id r v.jsonl > built.txt
SHARDY_CURRENT=s shardy scan --value-encoding utf8
shardy build --to j --shards 1 --run-id r --value-json v.jsonl > built.txt
SHARDY_CURRENT=j rows

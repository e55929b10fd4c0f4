. "$TESTS/lib.sh"
text_snapshot
shardy scan --value-encoding utf8
rows --prefix b
rows --prefix bj
rows --prefix z
rows --start b --end bf

python3 "$TESTS/csv_agreement.py" 1

python3 "$TESTS/on_terminal.py"

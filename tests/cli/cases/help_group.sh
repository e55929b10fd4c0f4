shardy --help | head -3
shardy -h | tail -12

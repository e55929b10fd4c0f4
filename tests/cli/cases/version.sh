shardy --version
shardy --version get

shardy --output-format "" info

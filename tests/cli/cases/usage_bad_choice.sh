shardy --output-format XML info

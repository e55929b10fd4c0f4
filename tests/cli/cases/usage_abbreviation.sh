shardy --output text info

shardy --ref

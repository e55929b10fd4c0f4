shardy --ref a --offset 1 info

shardy --offset -1 info

shardy --offset x info

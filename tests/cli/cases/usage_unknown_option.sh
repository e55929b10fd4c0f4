shardy get --nothing 1

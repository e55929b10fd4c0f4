shardy get -1

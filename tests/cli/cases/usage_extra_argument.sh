shardy get 1 2

shardy get

shardy get --strict=yes 1

shardy

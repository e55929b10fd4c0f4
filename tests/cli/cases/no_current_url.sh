shardy info

SHARDY_CURRENT= shardy --current-url "" get 1

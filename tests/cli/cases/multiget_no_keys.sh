shardy multiget

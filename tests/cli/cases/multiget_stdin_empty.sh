shardy multiget -

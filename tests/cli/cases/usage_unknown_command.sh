shardy nothing

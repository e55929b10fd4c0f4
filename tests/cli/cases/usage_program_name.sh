ln -s "$(command -v shardy)" other-name
./other-name get

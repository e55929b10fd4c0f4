#!/bin/sh
# examples.sh - run the programs of examples/ and compare what they print. TAP.
# Usage: examples.sh SOURCE_ROOT EXAMPLES_BUILD_FOLDER [SHARDY]
set -u

root=$1
programs=$2
shardy=${3:-}
. "$root/tests/integration/tap.sh"

run_example() {
    prints "$root/tests/integration/expected/$1.txt" "$programs/example_$1" "file://$tap_dir/$1"
}

# The lines with values; what `build` and `verify` say is tested in tests/cli.
run_demo() {
    PATH=$(dirname "$shardy"):$PATH "$root/examples/cli/demo.sh" "$tap_dir/demo" >"$tap_dir/demo.txt" ||
        { cat "$tap_dir/demo.txt"; return 1; }
    cat "$tap_dir/demo.txt"
    [ "$(grep '^2=' "$tap_dir/demo.txt" | tr '\n' ' ')" = "2=dHdv 2=ZG9z 2=dHdv " ] &&
        grep -qx '99=null' "$tap_dir/demo.txt"
}

for name in build_and_get arrow_batch scan_and_refresh; do
    point "examples/c/$name.c" run_example "$name"
done
if [ -n "$shardy" ]; then
    point "examples/cli/demo.sh" run_demo
fi
finish

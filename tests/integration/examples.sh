#!/bin/sh
# examples.sh - run the programs of examples/ and compare what they print. TAP.
# Usage: examples.sh SOURCE_ROOT EXAMPLES_BUILD_FOLDER WITH_S3 [SHARDY]
# WITH_S3 (tests/s3/with_s3) runs a command with an S3 server; examples that need one are skipped
# where there is none.
set -u

root=$1
programs=$2
with_s3=$(realpath "$3")
shardy=${4:+$(realpath "$4")}
. "$root/tests/integration/tap.sh"

run_example() {
    prints "$root/tests/integration/expected/$1.txt" "$programs/example_$1" "file://$tap_dir/$1"
}

# prints_on_s3 EXPECTED COMMAND...: without a server the point is skipped.
prints_on_s3() {
    wanted=$1
    shift
    "$with_s3" "$@" >"$tap_dir/on_s3.txt"
    case $? in
    0) diff -u "$wanted" "$tap_dir/on_s3.txt" ;;
    77) skip_point "no S3 server" ;;
    *) return 1 ;;
    esac
}

run_on_s3() {
    prints_on_s3 "$root/tests/integration/expected/$1.txt" \
        sh -c '"$0" "$SHARDY_S3_URL/$1"' "$programs/example_$1" "$1"
}

# The block of the README about S3, in the folder that its first block makes: commands start with
# "$ ", the other lines are what they print.
run_readme_on_s3() {
    mkdir "$tap_dir/readme" && cd "$tap_dir/readme" || return 1
    sed -n '/^```console s3$/,/^```$/p' "$root/README.md" | sed '/^```/d' >block
    sed -n 's/^\$ \(printf .*fruits.csv\)$/\1/p' "$root/README.md" >commands
    sed -n 's/^\$ //p' block | sed "s#s3://my-bucket#\$SHARDY_S3_URL#" >>commands
    sed '/^\$ /d' block >expected
    [ -s expected ] && [ "$(wc -l <commands)" -gt 4 ] || return 1
    # The server is looked for in this user's cache, not in the one of the commands.
    prints_on_s3 expected env PATH="$(dirname "$shardy"):$PATH" XDG_CACHE_HOME="$tap_dir/cache" \
        sh -eu commands || return 1
    [ -n "$tap_skip" ] || grep -q 'round trips' trace.txt
}

# The lines with values; what `build` and `verify` say is tested in tests/cli.
run_demo() {
    PATH=$(dirname "$shardy"):$PATH "$root/examples/cli/demo.sh" "$tap_dir/demo" >"$tap_dir/demo.txt" ||
        { cat "$tap_dir/demo.txt"; return 1; }
    cat "$tap_dir/demo.txt"
    [ "$(grep '^2=' "$tap_dir/demo.txt" | tr '\n' ' ')" = "2=dHdv 2=ZG9z 2=dHdv " ] &&
        grep -qx '99=null' "$tap_dir/demo.txt"
}

for name in build_and_get arrow_batch cel_routing scan_and_refresh async_get; do
    point "examples/c/$name.c" run_example "$name"
done
for name in s3_store async_get; do
    point "examples/c/$name.c on S3" run_on_s3 "$name"
done
if [ -n "$shardy" ]; then
    point "examples/cli/demo.sh" run_demo
    point "README.md on S3" run_readme_on_s3
fi
finish

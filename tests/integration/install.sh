#!/bin/sh
# install.sh - what a user of an installed copy sees: `make install` into a new place from a build
# folder of its own, then programs outside the tree that know it through pkg-config only. TAP.
# Usage: install.sh SOURCE_ROOT
set -u

root=$1
. "$root/tests/integration/tap.sh"

prefix=$tap_dir/prefix
library=$prefix/lib/libshardyfusion.so
outside=$tap_dir/outside
url=file://$tap_dir/snapshot

export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
export LD_LIBRARY_PATH="$prefix/lib"
unset ASAN_OPTIONS DESTDIR MAKEFLAGS MAKELEVEL

install_copy() {
    make -C "$root" install PREFIX="$prefix" BUILD="$tap_dir/build" \
        MESON_FLAGS="-Dtests=false -Doptimization=1"
}

is_complete() {
    for file in bin/shardy include/shardyfusion/shardyfusion.h lib/libshardyfusion.a \
        lib/libshardyfusion.so share/man/man1/shardy.1 share/man/man3/libshardyfusion.3; do
        [ -e "$prefix/$file" ] || { echo "not installed: $file"; return 1; }
    done
}

has_soname() {
    readelf -d "$library" | grep -F 'soname: [libshardyfusion.so.0]'
}

knows_version() {
    [ "$(pkg-config --modversion shardyfusion)" = "$(sed -n "s/^  version: '\(.*\)',/\1/p" "$root/meson.build")" ]
}

# A program that needs the shared library only must not be told to link what that library uses.
links_only_itself() {
    [ "$(pkg-config --libs shardyfusion | tr -d ' ')" = "-L$prefix/lib-lshardyfusion" ]
}

builds_outside() {
    mkdir "$outside" && cp "$root"/examples/outside/* "$outside" && make -C "$outside"
}

# Our own code statically, its dependencies as they are: Debian has no static form of all of theirs.
builds_static() {
    # shellcheck disable=SC2046
    cc -std=c11 -o "$outside/static" "$root/examples/c/build_and_get.c" "$prefix/lib/libshardyfusion.a" \
        $(pkg-config --cflags shardyfusion) -pthread \
        $(sed -n 's/^Libs\.private: *//p' "$prefix/lib/pkgconfig/shardyfusion.pc") \
        $(pkg-config --libs $(pkg-config --print-requires-private shardyfusion | cut -d' ' -f1)) &&
        prints "$root/tests/integration/expected/build_and_get.txt" "$outside/static" "$url"
}

runs_outside() {
    echo "shardyfusion $(pkg-config --modversion shardyfusion): 2 rows" >"$tap_dir/rows.txt"
    prints "$tap_dir/rows.txt" "$outside/count_rows" "$url"
}

# The code blocks of the README in the given language.
readme_block() {
    awk -v open="\`\`\`$1" '$0 == open { on = 1; next } /^```/ { on = 0 } on' "$root/README.md"
}

# A block of commands, in a folder that all of them share: commands start with "$ ", the other lines
# are what they print.
readme_cli_runs() {
    readme_block "$1" | sed -n 's/^\$ //p' >"$outside/readme.sh"
    readme_block "$1" | sed '/^\$ /d' >"$outside/readme.expected"
    [ -s "$outside/readme.sh" ] && mkdir -p "$outside/cli" && cd "$outside/cli" &&
        PATH=$prefix/bin:$PATH prints "$outside/readme.expected" sh -eu "$outside/readme.sh"
}

# It reads the snapshot that the CLI example has made.
readme_c_runs() {
    readme_block c >"$outside/readme.c"
    echo "apple is red" >"$outside/readme.txt"
    # shellcheck disable=SC2046
    cc -std=c11 -Wall -Wextra -Werror -o "$outside/readme" "$outside/readme.c" \
        $(pkg-config --cflags --libs shardyfusion) &&
        prints "$outside/readme.txt" "$outside/readme" "file://$outside/cli/fruits"
}

point "make install" install_copy
point "all files are there" is_complete
point "SONAME" has_soname
point "pkg-config knows the version" knows_version
point "pkg-config --libs names one library" links_only_itself
point "exported symbols" "$root/scripts/check_symbols" "$library"
point "program outside the tree builds" builds_outside
point "program with the static library runs" builds_static
point "program outside the tree runs" runs_outside
point "installed shardy runs" "$prefix/bin/shardy" --version
point "CLI example of the README runs" readme_cli_runs console
point "CEL example of the README runs" readme_cli_runs "console cel"
point "C example of the README runs" readme_c_runs
finish

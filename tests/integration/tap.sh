# tap.sh - TAP points for shell tests: source it, call `point NAME COMMAND...`, end with `finish`.
#
# A point is ok when its command succeeds; the output of one that fails becomes comments.

tap_count=0
tap_failed=0
tap_dir=$(mktemp -d)
trap 'rm -rf "$tap_dir"' EXIT

point() {
    point_name=$1
    shift
    tap_count=$((tap_count + 1))
    tap_skip=
    if "$@" >"$tap_dir/log" 2>&1; then
        echo "ok $tap_count - $point_name${tap_skip:+ # SKIP $tap_skip}"
    else
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_count - $point_name"
        sed 's/^/# /' "$tap_dir/log"
    fi
}

# Called by the command of a point that cannot do its work here.
skip_point() {
    tap_skip=$1
}

# Compare what a command prints with a file.
prints() {
    expected=$1
    shift
    "$@" >"$tap_dir/stdout" || return 1
    diff -u "$expected" "$tap_dir/stdout"
}

finish() {
    echo "1..$tap_count"
    [ "$tap_failed" -eq 0 ]
}

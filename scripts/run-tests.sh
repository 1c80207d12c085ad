#!/bin/sh
# Runs test programs, one for each core at a time (or TEST_JOBS of them); shows what each says as a whole when it ends,
# with its seconds, and ends with the sum. Exit 1 when any failed.
set -u

[ $# -gt 0 ] || { echo "run-tests.sh: no test program was given" >&2; exit 2; }
work=$(mktemp -d "${TMPDIR:-/tmp}/run-tests.XXXXXX") || exit 4
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export work

# shellcheck disable=SC2016 # the inner shell's variables
printf '%s\n' "$@" | xargs -P "${TEST_JOBS:-$(nproc)}" -n 1 sh -c '
    name=${1##*/tests/}
    said=$work/$(echo "$name" | tr / _)
    start=$(date +%s)
    if "$1" >"$said" 2>&1 </dev/null; then result=passed; else result=failed; fi
    echo "$name" >>"$work/$result"
    { printf "== %s\n" "$name"; cat "$said"; printf "== %s: %s in %d s\n" "$name" $result $(($(date +%s) - start)); } \
        >"$said.whole"
    flock "$work" cat "$said.whole"' sh

touch "$work/passed" "$work/failed"
printf '\n'
sed 's/^/failed: /' "$work/failed"
passed=$(wc -l <"$work/passed")
printf 'programs: %d passed, %d failed\n' "$passed" $(($# - passed))
[ "$passed" = $# ]

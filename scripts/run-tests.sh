#!/bin/sh
# Runs test programs one after the other, shows what they say, and ends with the sum. Exit 1 when any failed.
set -u

[ $# -gt 0 ] || { echo "run-tests.sh: no test program was given" >&2; exit 2; }
passed=0
failed=
for test in "$@"; do
    printf '== %s\n' "${test##*/tests/}"
    if "$test"; then passed=$((passed + 1)); else failed="$failed ${test##*/tests/}"; fi
done
printf '\n'
for test in $failed; do
    printf 'failed: %s\n' "$test"
done
printf 'programs: %d passed, %d failed\n' "$passed" $(($# - passed))
[ -z "$failed" ]

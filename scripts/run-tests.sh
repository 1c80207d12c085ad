#!/bin/sh
# Runs test programs one after the other, shows what they say, and ends with the sum. Exit 1 when any failed.
set -u

passed=0
failed=
for test in "$@"; do
    printf '== %s\n' "${test##*/tests/}"
    if "$test"; then passed=$((passed + 1)); else failed="$failed ${test##*/tests/}"; fi
done
printf '\n%d test programs passed' "$passed"
[ -z "$failed" ] && printf '\n' && exit 0
printf '; failed:%s\n' "$failed"
exit 1

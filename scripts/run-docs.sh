#!/bin/sh
# Runs what a page shows: sh scripts/run-docs.sh PAGE.md... Every block of SQL goes to the stock sqlite3 shell, every
# block of commands to sh, in the order of the page and from this folder, which has bin/ and, as `make demo` leaves it,
# build/demo/demo.db ($MOESCOPE_DEMO: another logbook for the SQL). Blocks that fail, or answer with nothing, are
# shown; then the status is 1.
set -eu
export LC_ALL=C.UTF-8

db=${MOESCOPE_DEMO:-build/demo/demo.db}
[ -e "$db" ] || { echo "run-docs.sh: no logbook '$db'; run 'make demo' first" >&2; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0

run() { # FILE, whose ending says what it is
    case $1 in
    *.sql) sqlite3 -bail -readonly "$db" <"$1" ;;
    *.sh) sh -eu "$1" ;;
    esac
}

for page; do
    rm -f "$work"/*
    awk -v out="$work" '
        /^```(sql|sh)$/ { file = sprintf("%s/%05d.%s", out, NR, substr($0, 4)); printf "" >file; next }
        /^```/ { file = ""; next }
        file != "" { print >file }' "$page"
    for block in "$work"/*; do
        [ -e "$block" ] || { echo "$page: nothing to run" >&2; status=1; break; }
        if ! answer=$(run "$block" 2>&1) || [ -z "$answer" ]; then
            line=${block##*/}
            printf '%s: the block at line %d: %s\n' "$page" "$(echo "${line%.*}" | sed 's/^0*//')" \
                "${answer:-no answer}" >&2
            sed 's/^/    /' "$block" >&2
            status=1
        fi
    done
done
exit $status

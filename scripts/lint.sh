#!/bin/sh
# What machines can check of the house's rules: sh scripts/lint.sh [CHECK]..., all but the last without a name.
#
#   laws      the laws of the house, by plain pattern: scripts/laws.awk lists them
#   headers   every header compiles alone
#   sql       every .sql file is good in the stock sqlite3 shell, and is used
#   format    clang-format
#   scripts   shellcheck; perl -c
#   cppcheck  cppcheck
#   tidy      clang-tidy, as configured in .clang-tidy, without clang's static analyser
#   analyze   that analyser alone: it takes ten times as long as all else
#
# Prints every finding as FILE:LINE: TEXT; notes are no findings. Exit 1 when there is any finding.
# shellcheck disable=SC2317 # the checks are called by their names
set -u
cd "$(dirname "$0")/.." || exit 2
export LC_ALL=C

work=$(mktemp -d "${TMPDIR:-/tmp}/lint.XXXXXX") || exit 4
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Our own files: those that git knows or would add; in an unpacked archive, all that is not built.
files() { # PATTERN...
    if [ -e .git ]; then
        git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r file; do
            [ ! -f "$file" ] || printf '%s\n' "$file"
        done
    else
        for pattern in "$@"; do
            find . \( -path ./build -o -path ./bin \) -prune -o -type f -name "$pattern" -print | sed 's,^\./,,'
        done
    fi | sort -u
}

cflags=$(make -s --no-print-directory print-cflags) || exit 4
programs="$(make -s --no-print-directory print-programs) $(echo bench/*.c)"

# ---- the checks: each prints its findings ----

check_laws() {
    files '*.c' '*.h' >"$work/sources"
    xargs awk -v programs="$programs" -f scripts/laws.awk <"$work/sources"
    for program in $programs; do
        [ "$program" != base/moescope.c ] || continue
        grep -q '\.examples =' "$program" || echo "$program:1: help: the program's help has no examples"
        verb=$(basename "$program" .c)
        case $program in
        bench/*) ;;
        *) grep -q "\"$verb\"" base/moescope.c || echo "$program:1: help: base/moescope.c does not list '$verb'" ;;
        esac
    done
    grep -n -i 'sqlite\|\.db\b' plots/*.gp | sed 's/$/: plots: plots read tables, never the database/'
    files | grep -v '\.svg$' | tr '\n' '\0' | xargs -0 grep -n -I -E \
        -e '(^|[^A-Za-z0-9_}$.])/(home|root|work|Users|mnt)/[A-Za-z]' |
        grep -v 'lint: allow path' | sed 's/$/: path: a path of one machine/'
    files '*.sh' '*.md' '*.sql' '*.gp' '*.pl' '*.ini' '*.awk' Makefile | tr '\n' '\0' |
        xargs -0 grep -n -E '[[:blank:]]$|'"$(printf '\r')" | sed 's/$/: blank: white space at the end/'
    for page in $(files '*.md'); do
        grep -n -o '](\([^):#]*\)' "$page" | while IFS=: read -r line link; do
            [ -e "$(dirname "$page")/${link#](}" ] || echo "$page:$line: link: '${link#](}' is not there"
        done
    done
}

check_headers() {
    for header in $(files '*.h'); do
        # shellcheck disable=SC2086 # a list of flags
        ${CC:-cc} $cflags -fsyntax-only -x c "$header" >"$work/header" 2>&1 || cat "$work/header"
    done
}

# What merges wants an input and its maps.
explain_merge() { # FILE
    case $1 in
    sql/merge/maps.sql | sql/merge/attach.sql | sql/merge/detach.sql) return ;;
    esac
    [ -e "$work/input.db" ] || cp "$work/logbook.db" "$work/input.db"
    { echo "ATTACH '$work/input.db' AS input;"; cat sql/merge/maps.sql; echo "EXPLAIN"; cat "$1"; } |
        sqlite3 -batch "$work/logbook.db"
}

# Parameters that nobody set are NULL in the shell; what writes is only prepared; virtual tables need their module.
check_sql() {
    for file in sql/schema.sql sql/views/*.sql; do
        sqlite3 -batch "$work/logbook.db" <"$file" 2>&1 | sed "s,^,$file: ,"
    done
    sqlite3 -batch "$work/rows.db" <sql/rows/create.sql 2>&1 >/dev/null | sed "s,^,sql/rows/create.sql: ,"
    for file in $(files '*.sql' | grep -v -e '^sql/schema.sql$' -e '^sql/views/'); do
        case $file in
        sql/migrations/*) ;; # the tests run them, on what they are for
        sql/merge/*) explain_merge "$file" ;;
        sql/store/*) sqlite3 -batch "$work/logbook.db" "EXPLAIN $(cat "$file")" ;;
        sql/extension/create.sql) [ ! -e bin/moescope.so ] || sqlite3 -batch :memory: ".load bin/moescope" ".read $file" ;;
        sql/extension/*) sqlite3 -batch "$work/logbook.db" "EXPLAIN $(cat "$file")" ;;
        sql/rows/create.sql) ;;
        sql/rows/*) sqlite3 -batch "$work/rows.db" "EXPLAIN $(cat "$file")" ;;
        *) sqlite3 -batch -readonly "$work/logbook.db" <"$file" ;;
        esac 2>&1 >/dev/null | sed "s,^,$file: ,"
        name=${file#sql/}
        name=${name%.sql} # programs name it, or its folder
        grep -r -q -e "\"$name\"" -e "\"${name%/*}/\(%s\)\?\"" --include='*.c' sql engine analysis care corpora import bench ||
            echo "$file:1: unused: no program names \"$name\""
        grep -n -i -E '\b(generate_series|stddev|median|percentile|jsonb[a-z_]*) *\(' "$file" |
            sed "s,^,$file:,; s/\$/: not in the stock SQLite library/"
    done
    sed -n '/^## Ask/,/^## The/s/^    //p' README.md | grep -v '^\$' | sqlite3 -batch -readonly "$work/logbook.db" 2>&1 |
        sed 's,^,README.md: ,'
}

check_format() {
    files '*.c' '*.h' | xargs clang-format --dry-run -Werror 2>&1 | grep -E '(error|warning): ' |
        awk -F: '!lines[$1]++ { file[++n] = $1; first[$1] = $2 }
            END { for (i = 1; i <= n; i++)
                print file[i] ":" first[file[i]] ": format: " lines[file[i]] " places; clang-format -i " file[i] }'
}

check_scripts() {
    files '*.sh' .ci/run | xargs shellcheck -x -f gcc
    for script in $(files '*.pl'); do
        perl -c "$script" 2>&1 | grep -v 'syntax OK$'
    done
}

# Not asked: variableScope, since some declare at the head of a function and some do not; readdirCalled, which
# recommends the deprecated readdir_r; usleepCalled and unusedStructMember in tests, which are right to.
check_cppcheck() {
    files '*.c' | xargs cppcheck -q -j "$(nproc)" --std=c11 --language=c -I. -D_GNU_SOURCE --library=posix,gnu \
        --enable=warning,style,performance,portability --inline-suppr --suppress=missingIncludeSystem \
        --suppress=variableScope --suppress=readdirCalled --suppress='usleepCalled:tests/*' \
        --suppress='unusedStructMember:tests/*' -D'cJSON_ArrayForEach(e,a)=for(e=(a)->child;e;e=(e)->next)' \
        --template='{file}:{line}: {severity}: {message} [{id}]' 2>&1
}

# Examples include <moescope.h>.
run_tidy() { # MORE-CHECKS
    tidy_flags="$(echo "$cflags" | sed 's/-fopenmp-simd//') -Wno-unknown-pragmas -Isql"
    more=$1
    export work tidy_flags more
    # shellcheck disable=SC2016 # the inner shell's variables
    files '*.c' | xargs -n 1 -P "$(nproc)" sh -c \
        'clang-tidy --quiet --checks="$more" "$1" -- $tidy_flags >"$work/tidy.$(echo "$1" | tr / _)" 2>&1' sh
    cat "$work"/tidy.* | grep -E '(error|warning): ' | sed "s,^$PWD/,,; s,^\./,,; s/,-warnings-as-errors\]/]/" | sort -u
}

check_tidy() {
    run_tidy '-clang-analyzer-*'
}

# Without -fopenmp-simd the analyser sees into loops that the pragma would hide.
check_analyze() {
    run_tidy '-bugprone-*,-cert-*,-misc-*,-performance-*,-portability-*,-readability-*'
}

# ---- run them ----

failed=0
[ $# -gt 0 ] || set -- laws headers sql format scripts cppcheck tidy
for check; do
    case $check in
    laws | headers | sql | format | scripts | cppcheck | tidy | analyze) ;;
    *) echo "lint.sh: no check is called '$check'" >&2; exit 2 ;;
    esac
    printf '== %s\n' "$check"
    "check_$check" >"$work/findings" 2>"$work/complaints"
    cat "$work/findings"
    sed 's/^/lint.sh: /' "$work/complaints" >&2
    grep -q -v ': note: ' "$work/findings" && failed=$((failed + $(grep -c -v ': note: ' "$work/findings")))
    [ ! -s "$work/complaints" ] || failed=$((failed + 1))
done
[ "$failed" = 0 ] && echo "lint: nothing found" && exit 0
echo "lint: $failed findings"
exit 1

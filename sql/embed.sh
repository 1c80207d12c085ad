#!/bin/sh
# Prints a C file with the given .sql files as strings: `sh sql/embed.sh sql/schema.sql sql/views/*.sql`.
# A file is known by its path under sql/ without ".sql". Names come out sorted: sql_text() searches by halves.
set -eu
export LC_ALL=C

echo '/* Made by sql/embed.sh. */'
echo '#include "sql/embedded.h"'
echo
echo 'const struct sql_file sql_files[] = {'
for file in "$@"; do
    name=${file#sql/}
    printf '%s\t%s\n' "${name%.sql}" "$file"
done | sort | while IFS="$(printf '\t')" read -r name file; do
    printf '    {"%s",\n' "$name"
    # A question mark is escaped because "??(" and its like are trigraphs in C11.
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/?/\\?/g' -e 's/	/\\t/g' -e 's/^/     "/' -e 's/$/\\n"/' "$file"
    echo '    },'
done
echo '};'
echo 'const int n_sql_files = sizeof sql_files / sizeof sql_files[0];'

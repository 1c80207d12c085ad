#!/bin/sh
# Prints a C file with the given files as strings: `sh plots/embed.sh plots/*.gp plots/report.css`. A file is
# known by its name without the folder.
set -eu
export LC_ALL=C

echo '/* Made by plots/embed.sh. */'
echo '#include "plots/embedded.h"'
echo
echo 'const struct plot_file plot_files[] = {'
for file in "$@"; do
    printf '    {"%s",\n' "${file##*/}"
    # A question mark is escaped because "??(" and its like are trigraphs in C11.
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/?/\\?/g' -e 's/	/\\t/g' -e 's/^/     "/' -e 's/$/\\n"/' "$file"
    echo '    },'
done
echo '};'
echo 'const int n_plot_files = sizeof plot_files / sizeof plot_files[0];'

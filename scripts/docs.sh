#!/bin/sh
# Writes what is generated under docs/: sh scripts/docs.sh [FOLDER]. The programs are their own source: what a
# key means is said by the table that reads it, what an option does by the table that parses it.
set -eu
export LC_ALL=C

out=${1:-docs}
root=$(cd "$(dirname "$0")/.." && pwd)
case $out in
/*) ;;
*) out=$PWD/$out ;;
esac
cd "$root"
moescope=${MOESCOPE_BIN:-bin}/moescope
[ -x "$moescope" ] || { echo "docs.sh: '$moescope' is not built; run 'make' first" >&2; exit 3; }
mkdir -p "$out"

# Whole or not at all: a failed command leaves the old page.
page() { # NAME, text on standard input
    cat >"$out/$1.partial"
    mv "$out/$1.partial" "$out/$1"
}

# Fields of a line of CSV (RFC 4180, no line breaks inside), as rows of Markdown under a heading per section.
config_tables() {
    awk '
        function fields(line, into,    n, text) {
            n = 0
            while (line != "") {
                if (line ~ /^"/) {
                    match(line, /^"([^"]|"")*"/)
                    text = substr(line, 2, RLENGTH - 2)
                    gsub(/""/, "\"", text)
                } else {
                    match(line, /^[^,]*/)
                    text = substr(line, 1, RLENGTH)
                }
                line = substr(line, RLENGTH + 2)
                gsub(/\|/, "\\|", text)
                into[++n] = text
            }
            return n
        }
        NR == 1 { next }
        {
            fields($0, cell)
            section = key = cell[1]
            sub(/\..*/, "", section)
            sub(/^[^.]*\./, "", key)
            if (section != last)
                printf "\n## [%s]\n\n| key | default | meaning |\n|---|---|---|\n", section
            last = section
            printf "| `%s` | %s | %s |\n", key, cell[2] == "" ? "" : "`" cell[2] "`", cell[3]
        }'
}

keys=$("$moescope" train --list-keys --format csv)
{
    cat <<'TEXT'
# The configuration of a run

Made by `make docs` from `moescope train --list-keys`; the table in `engine/config.c` is the source.

A run needs no configuration but `data.corpus`: every key has a default. `--config FILE.ini` reads keys by section,
`--set section.key=value` sets one after it, may be repeated, and wins. A key that does not exist, or a value out
of range, is an error that names the line. The logbook keeps every key of a run, changed or not, in `run.config`;
the view `run_config` has a row for each.

    [model]
    layers = 3              ; as --set model.layers=3

`studies/demo.ini` is an example.
TEXT
    echo "$keys" | config_tables
} | page config.md

verbs=$("$moescope" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p')
help=$(for verb in $verbs; do
    printf '\n## moescope %s\n\n```\n' "$verb"
    "$moescope" "$verb" --help
    echo '```'
done)
{
    cat <<'TEXT'
# The commands

Made by `make docs` from each verb's `--help`.

`bin/moescope VERB ...` runs `bin/moescope-VERB`. Data goes to standard output, everything else to standard error;
`-o FILE` writes the file whole or not at all. Readers open a logbook read-only. Exit statuses of every verb:

| status | means |
|---|---|
| 0 | done |
| 1 | the finding asked for with `--exit-code` holds |
| 2 | the command line or the configuration is wrong |
| 3 | the input cannot be used: missing, not a logbook, corrupt, no such run |
| 4 | the machine failed: disk full, no memory, a tool missing |

An interrupted training leaves with 128 + the signal's number, one whose loss is not finite with 3.
TEXT
    echo "$help"
} | page commands.md

sh docs/schema.sh >"$out/schema.md.partial"
mv "$out/schema.md.partial" "$out/schema.md"

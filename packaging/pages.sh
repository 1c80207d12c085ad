#!/bin/sh
# Makes manual pages and completions: sh packaging/pages.sh VERSION OUT. The programs are their own source: what an option
# does is said by the table that parses it ($MOESCOPE_BIN, else bin).
#
#   OUT/man/man1/moescope.1 and moescope-VERB.1, OUT/man/man3/moescope.3, OUT/man/man5/moescope-schema.5
#   OUT/bash/moescope, OUT/zsh/_moescope
set -eu
export LC_ALL=C

version=$1 out=$2
cd "$(dirname "$0")/.."
moescope=${MOESCOPE_BIN:-bin}/moescope
[ -x "$moescope" ] || { echo "pages.sh: '$moescope' is not built; run 'make' first" >&2; exit 3; }
mkdir -p "$out/man/man1" "$out/man/man3" "$out/man/man5" "$out/bash" "$out/zsh" "$out/help"

verbs=$("$moescope" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p')
for verb in $verbs; do
    "$moescope" "$verb" --help >"$out/help/$verb"
done
each() { # FORM: of every verb
    for verb in $verbs; do
        awk -v as="$1" -v version="$version" -f packaging/help.awk "$out/help/$verb"
    done
}

# ---- manual pages ----

for verb in $verbs; do
    awk -v as=man -v version="$version" -f packaging/help.awk "$out/help/$verb" >"$out/man/man1/moescope-$verb.1"
done
awk -v version="$version" -f packaging/header.awk sql/moescope.h >"$out/man/man3/moescope.3"
awk -v version="$version" -f packaging/schema.awk docs/schema.md >"$out/man/man5/moescope-schema.5"
{
    cat <<TEXT
.\\" Made from moescope \\-\\-help.
.TH MOESCOPE 1 "" "moescope $version" "moescope"
.SH NAME
moescope \\- a laboratory for Mixture\\-of\\-Experts routing
.SH SYNOPSIS
.B moescope
.I VERB
.RI [ ARGUMENT ]...
.SH DESCRIPTION
An engine trains small Mixture\\-of\\-Experts models and writes every token's routing decision, the load of every expert
and the loss of every document into one SQLite file, the logbook. Programs then ask it: each verb is one,
.BI moescope\\- VERB\\fR.
Data goes to standard output, everything else to standard error.
.SH VERBS
TEXT
    "$moescope" --help | sed -n 's/^  \([a-z]*\)  *\(.*\)/\1 \2/p' | sed 's/-/\\-/g' | while read -r verb purpose; do
        printf '.TP\n.BR moescope\\-%s (1)\n%s\n' "$verb" "$purpose"
    done
    cat <<'TEXT'
.SH EXIT STATUS
.TP
0
done
.TP
1
the finding asked for with \-\-exit\-code holds
.TP
2
the command line or the configuration is wrong
.TP
3
the input cannot be used: missing, not a logbook, corrupt, no such run
.TP
4
the machine failed: disk full, no memory, a tool missing
.PP
An interrupted training leaves with 128 + the signal's number, one whose loss is not finite with 3.
.SH ENVIRONMENT
.TP
MOESCOPE_WAIT
seconds to wait for another program that holds a logbook (60)
.TP
MOESCOPE_FILESYSTEM
the file system that a logbook lies on, where it cannot be told: on nfs and its like there is no WAL
.TP
NO_COLOR
no colours on a terminal
.SH SEE ALSO
.BR moescope (3),
.BR moescope\-schema (5),
.BR sqlite3 (1)
TEXT
} >"$out/man/man1/moescope.1"

# ---- completions ----

{
    cat <<TEXT
# Made by packaging/pages.sh from the options of every verb.
_moescope() {
    local word=\${COMP_WORDS[COMP_CWORD]} words=
    COMPREPLY=()
    if [ "\$COMP_CWORD" = 1 ]; then
        words='$(echo "$verbs" | tr '\n' ' ')help --help --version'
        mapfile -t COMPREPLY < <(compgen -W "\$words" -- "\$word")
        return
    fi
    [[ \$word == -* ]] || { mapfile -t COMPREPLY < <(compgen -f -- "\$word"); return; }
    case \${COMP_WORDS[1]} in
TEXT
    each bash
    cat <<'TEXT'
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o filenames -F _moescope moescope
TEXT
} >"$out/bash/moescope"

{
    printf '#compdef moescope\n# Made by packaging/pages.sh from the options of every verb.\n\n'
    each zsh
    printf '_moescope() {\n    local -a verbs=(\n'
    "$moescope" --help | sed -n "s/'/'\\\\''/g; s/:/\\\\:/g; s/^  \([a-z]*\)  *\(.*\)/        '\1:\2'/p"
    cat <<'TEXT'
    )
    if (( CURRENT == 2 )); then
        _describe verb verbs
        return
    fi
    local verb=$words[2]
    shift words
    (( CURRENT-- ))
    (( $+functions[_moescope_$verb] )) && _moescope_$verb || _files
}
_moescope "$@"
TEXT
} >"$out/zsh/_moescope"

#!/bin/sh
# Uses what is installed as a user would, in a folder of its own: sh packaging/smoke.sh FOLDER. Programs, manual,
# completion, library and Python module; `make deb-check` runs it where nothing but the package is.
set -eu
export LC_ALL=C

here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
cd "$1"
trap '[ $? = 0 ] || echo "smoke.sh: failed after: ${said:-nothing}" >&2' EXIT
say() {
    said=$*
    echo "  $*"
}

# Licences are text that every Debian has: two domains, a document a dozen lines.
texts() {
    rm -rf text
    mkdir -p text/gnu text/others
    for file in /usr/share/common-licenses/*; do
        [ ! -L "$file" ] || continue
        case $(basename "$file") in
        GPL* | LGPL* | GFDL*) domain=gnu ;;
        *) domain=others ;;
        esac
        split -l 12 --additional-suffix=.txt "$file" "text/$domain/$(basename "$file")-"
    done
}

verbs=$(moescope --help | awk '/^  [a-z]/ { print $1 }')
[ "$(echo "$verbs" | wc -w)" -ge 20 ] || { echo "smoke.sh: verbs are: $verbs" >&2; exit 1; }
for verb in $verbs; do
    moescope "$verb" --help >/dev/null
done
say "$(moescope --version): $(echo "$verbs" | wc -w) verbs"

texts
rm -f log.db
moescope corpus text -o corpus --vocabulary 512 2>corpus.log || { cat corpus.log >&2; exit 1; }
moescope train -q --log log.db --name smoke --set data.corpus=corpus --set model.layers=2 --set model.width=32 \
    --set model.context=32 --set router.experts=4 --set router.hidden=32 --set train.steps=20 >/dev/null
moescope check log.db >/dev/null
moescope collapse log.db --run smoke --format csv >/dev/null
moescope specialization log.db --run smoke --permutations 20 --format csv >/dev/null
[ "$(moescope sql log.db 'SELECT sum(decisions) > 0 FROM routing_count' --format csv | tail -n 1)" = 1 ]
[ "$(sqlite3 log.db 'SELECT count(*) > 0 FROM expert_load')" = 1 ]
say "trained, checked, analysed, asked"

cat >choices.csv <<'TEXT'
layer,token,slot,expert,gate
0,0,0,2,0.75
0,0,1,1,0.25
1,0,0,3,0.5
1,0,1,0,0.5
TEXT
moescope import -q log.db --name foreign choices.csv >/dev/null
moescope export -q log.db routing --run foreign --format csv | sort >exported.csv
[ "$(wc -l <exported.csv)" = 5 ]
moescope check log.db >/dev/null
say "imported and exported"

if command -v gnuplot >/dev/null; then
    moescope report log.db -o report.html --svg-only 2>/dev/null
    [ "$(grep -c '<svg' report.html)" -gt 0 ]
    say "reported, $(grep -c '<svg' report.html) figures"
fi

if command -v man >/dev/null; then
    man -w moescope >/dev/null
    for verb in $verbs; do
        man -w "moescope-$verb" >/dev/null
    done
    say "manual pages"
fi
if [ -f /usr/share/bash-completion/bash_completion ]; then
    bash -c '. /usr/share/bash-completion/bash_completion; _completion_loader moescope
        COMP_WORDS=(moescope col) COMP_CWORD=1 COMP_LINE="moescope col" COMP_POINT=12
        $(complete -p moescope | sed "s/.*-F \([^ ]*\).*/\1/") moescope col moescope
        [ "${COMPREPLY[*]}" = collapse ] || { echo "completed: ${COMPREPLY[*]}" >&2; exit 1; }'
    say "completion"
fi

if command -v cc >/dev/null && command -v pkg-config >/dev/null; then
    for link in --libs '--static --libs'; do
        rm -f client.db
        # shellcheck disable=SC2046,SC2086 # flags are words
        cc -Wall -Werror "$here/examples/client.c" $(pkg-config --cflags $link moescope) -o client
        ./client client.db
        moescope check client.db >/dev/null
    done
    say "a C client, shared and static"
fi
if python3 -c 'import numpy' 2>/dev/null; then
    rm -f python.db
    python3 - <<'TEXT'
import numpy as np
import moescope

with moescope.Logbook("python.db") as log:
    corpus = log.add_corpus("mine", [moescope.Document("a.txt", "english", "train", n_bytes=9, n_tokens=3)])
    with log.begin_run("first", corpus, [moescope.Layer(0, n_experts=4, k=2)]) as run, run.step(0) as s:
        a = s.sequence("train", 0, ids=np.arange(4), loss=np.ones(3))
        s.routing(a, 0, 4, experts=np.array([[0, 1], [2, 3], [3, 0]]), gates=np.full((3, 2), 0.5))
TEXT
    moescope check python.db >/dev/null
    [ "$(sqlite3 python.db 'SELECT count(*) FROM routing')" = 6 ]
    say "the Python module"
fi

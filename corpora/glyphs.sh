#!/bin/sh
# Digits and letters of 34 families of fonts: grey images of 28 x 28 in 62 classes, no family both trained on
# and tested on.
#
#   sh corpora/glyphs.sh OUT   writes OUT/{train,probe,test}-{images,labels,families}.idx.gz, OUT/classes.txt and
#                              OUT/families.txt
#
# Downloads 30 of Debian's packages of fonts (20 MB, each under a free licence) into OUT.packages; nothing is
# installed. They are fonts for running text. Left out are redrawings of a design that is there already (Hack is
# DejaVu's, Carlito is Lato's, the base fonts of PostScript are near Liberation's), and by `moescope glyphs`,
# which draws, faces without all of the 62 and exact copies.

# shellcheck source=corpora/recipe.sh
. "$(dirname "$0")/recipe.sh"

begin classes.txt "$@"
need "$debian" apt-get dpkg-deb
glyphs=${MOESCOPE_BIN:-$recipes/../bin}/moescope-glyphs
[ -x "$glyphs" ] || fail "'$glyphs' is not built; run 'make' first"

# FAMILY PACKAGE FILES: faces that share a design are one family, whatever their names say.
families='
Accanthis        adf-accanthis       *.otf
Baskervald       adf-baskervald      *.otf
Gillius          adf-gillius         *.otf
Universalis      adf-universalis     *.otf
Anonymous_Pro    anonymous-pro       *.ttf
B612             b612                *.otf
Cabin            cabin               *.otf
Cantarell        cantarell           *.otf
Cardo            cardo               *.ttf
Clear_Sans       clear-sans          *.ttf
Comfortaa        comfortaa           *.ttf
Courier_Prime    courier-prime       *.otf
Caladea          crosextra-caladea   *.ttf
DejaVu_Sans      dejavu-core         DejaVuSans*.ttf
DejaVu_Serif     dejavu-core         DejaVuSerif*.ttf
Dosis            dosis               *.otf
EB_Garamond      ebgaramond          *.otf
Fira_Code        firacode            *.ttf
GFS_Didot        gfs-didot           *.otf
Go               go                  Go-[!S]*.ttf
Inter            inter               Inter-*.otf
JetBrains_Mono   jetbrains-mono      *.ttf
Lato             lato                *.ttf
Liberation_Mono  liberation          LiberationMono*.ttf
Liberation_Sans  liberation          LiberationSans*.ttf
Liberation_Serif liberation          LiberationSerif*.ttf
Biolinum         linuxlibertine      LinBiolinum_R*.otf
Libertine        linuxlibertine      LinLibertine_R*.otf
Old_Standard     oldstandard         *.ttf
Open_Sans        open-sans           *.ttf
Quicksand        quicksand           *.ttf
Roboto           roboto-unhinted     *.ttf
Gentium          sil-gentium-basic   *.ttf
Vollkorn         vollkorn            *.ttf
'

packages=$(echo "$families" | awk 'NF { print $2 }' | sort -u)
echo "fetching $(echo "$packages" | wc -l) packages" >&2
for package in $packages; do
    fetch "fonts-$package"
done

fonts=$work/fonts
echo "$families" | while read -r family package files; do
    [ -n "$family" ] || continue
    folder=$fonts/$(echo "$family" | tr _ ' ')
    mkdir -p "$folder"
    find "$work/x/fonts-$package" -type f -name "$files" -exec cp {} "$folder" \;
    [ -n "$(ls "$folder")" ] || fail "the package fonts-$package has no $files; has it been renewed?"
done
"$glyphs" "$fonts" -o "$work/images" >&2
mv "$work/images" "$out"
echo "'$out': $(wc -l < "$out/classes.txt") classes, $(wc -l < "$out/families.txt") families" >&2

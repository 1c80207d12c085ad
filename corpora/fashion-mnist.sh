#!/bin/sh
# Fashion-MNIST (Xiao et al. 2017): 60,000 and 10,000 grey images of 28 x 28 in ten classes of clothing.
#
#   sh corpora/fashion-mnist.sh OUT   writes OUT/{train,test}-{images,labels}.idx.gz and OUT/classes.txt
#
# Downloads Debian's package dataset-fashion-mnist (31 MB, MIT) into OUT.packages; nothing is installed.

# shellcheck source=corpora/recipe.sh
. "$(dirname "$0")/recipe.sh"

begin classes.txt "$@"
need "$debian" apt-get dpkg-deb
echo "fetching 1 package" >&2
fetch dataset-fashion-mnist

from=$work/x/dataset-fashion-mnist/usr/share/datasets/fashion-mnist
images=$work/images
mkdir "$images"
copy() { # OF AS
    for kind in images-idx3 labels-idx1; do
        cp "$from/$1-$kind-ubyte.gz" "$images/$2-${kind%-idx?}.idx.gz" ||
            fail "the package has other files than expected; has it been renewed?"
    done
}
copy train train
copy t10k test
# in the order of the labels
printf '%s\n' 'T-shirt' trouser pullover dress coat sandal shirt sneaker bag 'ankle boot' > "$images/classes.txt"
mv "$images" "$out"
echo "'$out': $(wc -l < "$out/classes.txt") classes" >&2

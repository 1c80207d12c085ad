#!/bin/sh
# Makes a Debian package of what was built: sh packaging/deb.sh VERSION OUT writes OUT/moescope_VERSION_ARCH.deb.
# What it depends on is what dpkg-shlibdeps finds in its programs.
set -eu
export LC_ALL=C

version=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."
arch=$(dpkg-architecture -qDEB_HOST_ARCH)
libdir=/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
work=$(mktemp -d "${TMPDIR:-/tmp}/deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
umask 022

make -s --no-print-directory install DESTDIR="$root" PREFIX=/usr LIBDIR="$libdir" ZSHDIR=/usr/share/zsh/vendor-completions \
    PYTHONDIR=/usr/lib/python3/dist-packages
strip --strip-unneeded "$root"/usr/bin/* "$root$libdir"/libmoescope.so.*.* "$root"/usr/lib/moescope/moescope.so
strip --strip-debug "$root$libdir"/*.a
find "$root/usr/share/man" -type f -exec gzip -9n {} +
mv "$root/usr/share/doc/moescope/LICENSE" "$root/usr/share/doc/moescope/copyright"
date=$(git log -1 --format=%aD 2>/dev/null || date -R)
printf 'moescope (%s) unstable; urgency=medium\n\n  * Built from its source tree.\n\n -- moescope <moescope@localhost>  %s\n' \
    "$version" "$date" | gzip -9n >"$root/usr/share/doc/moescope/changelog.gz"

# dpkg-shlibdeps wants the folder of a source package around it.
mkdir -p "$work/debian" "$root/DEBIAN"
printf 'Source: moescope\n\nPackage: moescope\nArchitecture: %s\n' "$arch" >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O root/usr/bin/* "root$libdir"/libmoescope.so.*.* | sed -n 's/^shlibs:Depends=//p')

cat >"$root/DEBIAN/control" <<TEXT
Package: moescope
Version: $version
Architecture: $arch
Maintainer: moescope <moescope@localhost>
Section: science
Priority: optional
Installed-Size: $(du -sk "$root/usr" | cut -f1)
Depends: $depends, sqlite3
Recommends: sentencepiece, gnuplot-nox
Suggests: libsqlite3-dev, libdeflate-dev, nettle-dev, python3-numpy, python3-torch
Description: laboratory for Mixture-of-Experts routing
 An engine trains small MoE language models and writes every token's routing
 decision, the load of every expert and the loss of every document into one
 SQLite file. Programs ask it whether experts specialise, whether a router
 collapses, which run is better. The library and its Python module let other
 training programs write such files.
TEXT
echo 'activate-noawait ldconfig' >"$root/DEBIAN/triggers"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
dpkg-deb --root-owner-group --build "$root" "$out/moescope_${version}_$arch.deb"

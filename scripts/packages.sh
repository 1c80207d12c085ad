#!/bin/sh
# Installs the Debian packages that a purpose needs and that are missing: packages.sh build|test|lint|fuzz|deb.
# Says what it is about to install. Without apt, or without the right to use it, prints the names and stops.
set -eu

build="gcc libc6-dev make pkg-config libopenblas-dev libsqlite3-dev libgsl-dev libinih-dev zlib1g-dev libdeflate-dev nettle-dev
       libcjson-dev libfreetype-dev sqlite3 sentencepiece gnuplot-nox"
case ${1:-} in
build) wanted=$build ;;
# g++: the library's header as C++; groff-base: what manual pages look like.
test) wanted="$build libcmocka-dev file python3-numpy fonts-dejavu-core g++ groff-base" ;;
fuzz) wanted="$build libcmocka-dev clang libclang-rt-14-dev" ;;
lint) wanted="$build libcmocka-dev clang libclang-rt-14-dev clang-format clang-tidy cppcheck shellcheck" ;;
deb) wanted="$build dpkg-dev" ;;
*) echo "usage: packages.sh build|test|lint|fuzz|deb" >&2; exit 2 ;;
esac

missing=
for package in $wanted; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "missing packages:$missing" >&2
if ! command -v apt-get >/dev/null; then
    echo "apt-get is not here; install them (by these or similar names) and try again" >&2
    exit 4
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "run as root: apt-get install$missing" >&2
        exit 4
    fi
    as_root=sudo
fi
echo "installing them with apt-get" >&2
# shellcheck disable=SC2086 # a list of words
install() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null; }
install 2>/dev/null || { $as_root apt-get update -qq && install; }

#!/bin/sh
# Installs what was built, or removes it: sh packaging/install.sh install|uninstall. `make install` says where, by
# the environment: DESTDIR is put before every folder; PREFIX, LIBDIR, MANDIR, BASHDIR, ZSHDIR, PYTHONDIR, DOCDIR; and what:
# BUILT, the folder of programs; PAGES, that of packaging/pages.sh; VERSION.
set -eu

cd "$(dirname "$0")/.."
action=$1
: "${DESTDIR=}" "$PREFIX" "$LIBDIR" "$MANDIR" "$BASHDIR" "$ZSHDIR" "$PYTHONDIR" "$DOCDIR" "$BUILT" "$PAGES" "$VERSION"
soname=libmoescope.so.${VERSION%%.*}

put() { # MODE FILE FOLDER [NAME]
    to=$DESTDIR$3/${4:-$(basename "$2")}
    case $action in
    install) mkdir -p "$DESTDIR$3" && cp "$2" "$to.new" && chmod "$1" "$to.new" && mv "$to.new" "$to" ;;
    uninstall) rm -f "$to" ;;
    esac
}
link() { # TARGET FOLDER NAME
    case $action in
    install) mkdir -p "$DESTDIR$2" && ln -sf "$1" "$DESTDIR$2/$3" ;;
    uninstall) rm -f "$DESTDIR$2/$3" ;;
    esac
}
own() { # FOLDER of nobody else: removed when it is empty
    [ "$action" != uninstall ] || [ ! -d "$DESTDIR$1" ] || rmdir "$DESTDIR$1" 2>/dev/null || true
}

[ "$action" = install ] || [ "$action" = uninstall ] || { echo "usage: install.sh install|uninstall" >&2; exit 2; }

sed -e "s,@PREFIX@,$PREFIX," -e "s,@LIBDIR@,$LIBDIR," -e "s,@VERSION@,$VERSION," packaging/moescope.pc.in \
    >"$PAGES/moescope.pc"

for verb in "$PAGES"/help/*; do
    put 755 "$BUILT/moescope-$(basename "$verb")" "$PREFIX/bin"
done
put 755 "$BUILT/moescope" "$PREFIX/bin"

put 644 "$BUILT/$soname" "$LIBDIR" "libmoescope.so.$VERSION"
link "libmoescope.so.$VERSION" "$LIBDIR" "$soname"
link "$soname" "$LIBDIR" libmoescope.so
put 644 "$BUILT/libmoescope.a" "$LIBDIR"
put 644 "$BUILT/libmoescope-sqlite.a" "$LIBDIR"
put 644 "$BUILT/moescope.so" "$PREFIX/lib/moescope" # where `moescope sql` looks, from beside its program
own "$PREFIX/lib/moescope"
put 644 sql/moescope.h "$PREFIX/include"
put 644 sql/extension.h "$PREFIX/include" moescope-sqlite.h
put 644 "$PAGES/moescope.pc" "$LIBDIR/pkgconfig"
put 644 python/moescope.py "$PYTHONDIR"

for page in "$PAGES"/man/man*/*; do
    put 644 "$page" "$MANDIR/$(basename "$(dirname "$page")")"
done
put 644 "$PAGES/bash/moescope" "$BASHDIR"
put 644 "$PAGES/zsh/_moescope" "$ZSHDIR"

for page in README.md LICENSE docs/*.md; do
    case $page in
    docs/*) put 644 "$page" "$DOCDIR/docs" ;;
    *) put 644 "$page" "$DOCDIR" ;;
    esac
done
put 644 examples/client.c "$DOCDIR/examples"
put 755 examples/train_moe.py "$DOCDIR/examples"
put 644 studies/demo.ini "$DOCDIR/examples"
for folder in "$DOCDIR/docs" "$DOCDIR/examples" "$DOCDIR" "$PREFIX/share/moescope/python" "$PREFIX/share/moescope"; do
    own "$folder"
done

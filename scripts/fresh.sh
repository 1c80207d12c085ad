#!/bin/sh
# Proves that a new machine is enough: runs a command in a minimal Debian 12 that has nothing of ours.
#
#   sh scripts/fresh.sh [--keep] ROOT COMMAND [ARGUMENT]...     e.g. sh scripts/fresh.sh ../fresh make demo
#
# ROOT is made by debootstrap once and kept as ROOT.tar; every call unpacks it anew and clones this repository's
# HEAD into it at /moescope, where the command runs with no input, few environment variables and git and make
# installed (--keep: in ROOT as the last call left it, with its clone). What the command wrote stays in ROOT.
# Needs root and debootstrap. Packages come from where this machine's apt has them.
set -eu

suite=bookworm
here=$(cd "$(dirname "$0")/.." && pwd)

fail() {
    echo "fresh.sh: $*" >&2
    exit "${status:-4}"
}

keep=
[ "${1:-}" != --keep ] || { keep=yes; shift; }
[ $# -ge 2 ] || status=2 fail "usage: fresh.sh [--keep] ROOT COMMAND [ARGUMENT]..."
case $1 in
/?*) root=$1 ;;
*) root=$PWD/$1 ;;
esac
shift
[ "$(id -u)" = 0 ] || fail "only root may do this"
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"

# A folder of ours bears a mark; nothing else is ever removed.
remove_root() {
    [ -e "$root" ] || return 0
    [ -f "$root/.fresh" ] || status=3 fail "'$root' is there and was not made by fresh.sh"
    rm -rf --one-file-system "$root"
}

# The lines of sources.list for what this machine's apt takes from Debian.
sources() {
    # shellcheck disable=SC2016 # apt's variables
    apt-get indextargets --format '$(ORIGIN)|$(SITE)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' |
        awk -F'|' -v suite="$suite" '$1 == "Debian" && index($3, suite) == 1 { print "deb", $2, $3, $4 }' | sort -u
}

# Proxies, certificates and what else of apt's configuration says how to fetch.
fetching() {
    apt-config dump | grep -E '^Acquire::(http|https|ftp|Retries|Check-|ForceIPv)' || true
    if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
        echo 'Acquire::https::CAInfo "/etc/ssl/certs/ca-certificates.crt";'
    fi
}

make_pristine() {
    remove_root
    sources >"$root.sources"
    mirror=$(awk -v suite="$suite" '$3 == suite { print $2; exit }' "$root.sources")
    [ -n "$mirror" ] || status=3 fail "apt knows no $suite here; is this Debian 12, and was 'apt-get update' run?"
    echo "fresh.sh: making $root.tar from $mirror" >&2
    mkdir -p "$root"
    touch "$root/.fresh"
    debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$root.log" 2>&1 || {
        tail -n 20 "$root.log" >&2
        fail "debootstrap failed; its whole log is $root.log"
    }
    mv "$root.sources" "$root/etc/apt/sources.list"
    mkdir -p "$root/etc/ssl/certs"
    [ ! -f /etc/ssl/certs/ca-certificates.crt ] || cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    fetching >"$root/etc/apt/apt.conf.d/90fetching"
    tar -C "$root" -cf "$root.tar.partial" .
    mv "$root.tar.partial" "$root.tar"
}

# Mounts live in a namespace of the command's own: they are gone when it is, however it ends. /dev is ROOT's
# own, so that nothing in there can harm this machine's.
inside() {
    [ ! -f /etc/resolv.conf ] || cp -L /etc/resolv.conf "$root/etc/"
    [ ! -f /etc/hosts ] || cp -L /etc/hosts "$root/etc/"
    # shellcheck disable=SC2016 # the inner shell's variables
    unshare --mount --pid --fork --kill-child sh -c '
        root=$1; shift
        mount -t proc proc "$root/proc" && mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts" &&
            mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" &&
            exec chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
                HOME=/root TERM="${TERM:-dumb}" ${CI:+CI="$CI"} ${http_proxy:+http_proxy="$http_proxy"} \
                ${https_proxy:+https_proxy="$https_proxy"} sh -c "cd /moescope 2>/dev/null || cd /; exec \"\$@\"" sh "$@"
    ' sh "$root" "$@" </dev/null
}

[ -f "$root.tar" ] || { keep=; make_pristine; }
if [ -z "$keep" ]; then
    remove_root
    mkdir -p "$root"
    tar -C "$root" -xf "$root.tar"
    git clone -q --no-hardlinks "$here" "$root/moescope"
    echo "fresh.sh: $root is pristine, with commit $(git -C "$root/moescope" rev-parse --short HEAD)" >&2
    inside sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
        --no-install-recommends git make >/dev/null' 2>"$root.log" || {
        tail -n 20 "$root.log" >&2
        fail "cannot install git and make"
    }
fi
inside "$@"

#!/bin/sh
# Installs a package in a pristine Debian, first with what it depends on alone, then with what it can make use of,
# and uses it both times: sh packaging/check.sh FILE.deb ROOT. As root; scripts/fresh.sh says what ROOT is.
set -eu

deb=$(realpath "$1")
root=$2
cd "$(dirname "$0")/.."
inside() {
    sh scripts/fresh.sh --keep "$root" "$@"
}
install='apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0'

sh scripts/fresh.sh "$root" true
cp "$deb" "$root/moescope/moescope.deb"
export DEBIAN_FRONTEND=noninteractive
inside sh -c "export DEBIAN_FRONTEND=noninteractive; $install ./moescope.deb >install.log 2>&1 || { tail install.log; exit 4; }"
echo "alone:"
inside sh -c "command -v moescope-train >/dev/null && moescope --version && moescope runs --help >/dev/null"
inside sh -c "export DEBIAN_FRONTEND=noninteractive; rm -f /etc/dpkg/dpkg.cfg.d/*; \
    $install sentencepiece gnuplot-nox man-db bash-completion gcc libc6-dev pkg-config libsqlite3-dev libdeflate-dev \
    nettle-dev python3-numpy >install.log 2>&1 || { tail install.log; exit 4; }"
echo "with what it recommends and suggests:"
inside sh packaging/smoke.sh /tmp/smoke
inside sh -c "apt-get purge -y -qq moescope >/dev/null 2>&1 && ! command -v moescope-train"
echo "removed without a trace of its programs"

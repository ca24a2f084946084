#!/usr/bin/env bash
# The Debian package: builds, installs into a root of its own, runs there, is removed and purged without a trace.
#
#   tests/packaging/debian_test.sh
#
# Needs root, dpkg-buildpackage and debhelper; without them it is skipped (77). Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/../.."
skip() { echo "SKIPPED: $*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "needs root: a package is installed, into a directory"
for tool in dpkg-buildpackage dh; do command -v $tool >/dev/null || skip "there is no $tool"; done
work=$(mktemp -d "${TMPDIR:-/tmp}/sekisho-debian.XXXXXX")
daemon=
clean_up() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
fail() { echo "FAILED: $*"; exit 1; }

package=$(packaging/build-deb "$work/packages" | tail -n 1)
dpkg-deb --info "$package"
root=$work/root
mkdir -p "$root/var/lib/dpkg" "$root/var/log"
touch "$root/var/lib/dpkg/status"
# Into a directory without the libraries that it depends on, so dependencies are not looked at; and its scripts, which only
# make and remove directories and speak to systemd, run with that directory as DPKG_ROOT.
on_root() { dpkg --root="$root" --force-not-root --force-depends --force-script-chrootless --log=/dev/null "$@"; }
on_root --install "$package"
for file in /usr/bin/sekishod /usr/bin/sekishoctl /lib/systemd/system/sekishod.service /usr/lib/sysusers.d/sekisho.conf \
    /usr/bin/sekisho-agent /lib/systemd/system/sekisho-agent.service /usr/share/man/man8/sekisho-agent.8.gz \
    /usr/bin/sekisho-ipfix /lib/systemd/system/sekisho-ipfix.service /usr/share/man/man8/sekisho-ipfix.8.gz \
    /usr/share/sekisho/policy.schema.json /usr/share/man/man8/sekishod.8.gz /usr/share/man/man1/sekishoctl.1.gz \
    /usr/share/man/man5/sekisho-policy.5.gz /usr/share/bash-completion/completions/sekishoctl.bash; do
    [ -e "$root$file" ] || [ -e "$root/usr$file" ] || fail "the package has no $file"
done

"$root/usr/bin/sekishod" --socket "$work/s" --state-dir "$work/state" --no-huge --memory 128 --buffers 4096 \
    --file-prefix "sk-deb-$$" --port port0=net_null0 >"$work/out" 2>"$work/log" &
daemon=$!
"$root/usr/bin/sekishoctl" --socket "$work/s" wait-ready --timeout 60 || { cat "$work/log"; fail "it does not start"; }
"$root/usr/bin/sekishoctl" --socket "$work/s" show generation >/dev/null || fail "it does not answer"
kill "$daemon"
wait "$daemon" || fail "it did not stop well"
daemon=

on_root --remove sekisho
[ ! -e "$root/usr/bin/sekishod" ] || fail "removed, it is still there"
on_root --purge sekisho
left=$(find "$root" -path "$root/var/lib/dpkg" -prune -o -name '*sekisho*' -print)
[ -z "$left" ] || fail "purged, it left $left"
echo "builds, installs, starts, is removed and purged"

# shellcheck shell=bash
# What the tests over real ports share; sourced with "$1" the build directory and `tools` what the test needs beside the
# usual. Sets build, work (a directory that the test's clean_up removes), socket and failures, and goes to the project's root.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=$(realpath "$1")

skip() { echo "SKIPPED: $*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "needs root: network namespaces and devices"
for tool in ip jq python3 ping ${tools-}; do command -v "$tool" >/dev/null || skip "there is no $tool"; done
[ -c /dev/net/tun ] || skip "there is no /dev/net/tun"

work=$(mktemp -d "${TMPDIR:-/tmp}/sekisho-system.XXXXXX")
# shellcheck disable=SC2034  # the tests'
socket=$work/control.sock failures=0

ctl() { "$build/control/sekishoctl" --socket "$socket" "$@"; }
# check WORDS COMMAND…: the command must succeed; what it says is shown when it does not.
check() {
    local words=$1
    shift
    if "$@" >"$work/output" 2>&1; then echo "   ok: $words"; return; fi
    failures=$((failures + 1))
    echo "   FAILED: $words: $*"
    sed 's/^/      /' "$work/output"
}

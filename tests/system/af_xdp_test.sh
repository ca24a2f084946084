#!/usr/bin/env bash
# An AF_XDP port in a kernel's life: what stays with the kernel, what a killed sekishod leaves, and what is a stranger's.
#
#   tests/system/af_xdp_test.sh BUILD-DIR
#
# Traffic through the hub by AF_XDP is the quickstart's (scripts/quickstart --port af_xdp). Needs root; without what it
# needs it is skipped (77). Leaves nothing behind.
set -euo pipefail
tools="ethtool clang"
# shellcheck source=tests/system/support.sh
source "$(dirname "$0")/support.sh"

peer=sk-x$$ link=sk-x$$h
daemon=
server=

clean_up() {
    for pid in $server $daemon; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
    ip link delete "$link" 2>/dev/null || true
    ip netns delete "$peer" 2>/dev/null || true
    rm -rf "$work" "/run/dpdk/sk-xdp-$$" "/run/dpdk/sk-xdp-$$-2"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fails() { ! "$@"; }
# Whether the second command's output has the words, and fails.
refuses() {
    local words=$1
    shift
    if "$@" >"$work/refusal" 2>&1; then return 1; fi
    grep -qF "$words" "$work/refusal" || { cat "$work/refusal"; return 1; }
}

# start NAME OPTION…: sekishod in the background, ready.
start() {
    "$build/control/sekishod" --socket "$socket" --state-dir "$work/state" --no-huge --memory 256 --buffers 8192 --file-prefix "sk-xdp-$$" \
        --policy "$work/policy.json" --port "p0=net_af_xdp0,iface=$link" "$@" >>"$work/sekishod.log" 2>&1 &
    daemon=$!
    ctl wait-ready --timeout 30 >/dev/null || { cat "$work/sekishod.log"; exit 1; }
}
stop() { kill "$1" "$daemon"; wait "$daemon" 2>/dev/null || true; daemon=; }
another() {
    timeout 20 "$build/control/sekishod" --socket "$work/other.sock" --state-dir "$work/other" --no-huge --memory 256 --buffers 8192 \
        --file-prefix "sk-xdp-$$-2" --policy "$work/policy.json" "$@"
}
program() { ip -json link show "$link" | jq -r '.[0].xdp.prog.name // "none"'; }
to_kernel() { ctl --json show ports | jq '.items[0].xdp.to_kernel'; }
from_peer() { ip netns exec "$peer" "$@"; }
connects() { from_peer timeout 3 bash -c "exec 3<>/dev/tcp/$1/$2"; }

cat >"$work/policy.json" <<'JSON'
{"hub": {"rules_version": "test", "pools": ["100.64.0.0/10", "2001:db8:8000::/33"]},
 "operators": [{"id": "a", "name": "a", "certification": {"number": "a", "valid_from": "2026-04-01", "valid_until": "2099-03-31", "expiry_action": "warn"}}],
 "attachments": [{"id": "a", "operator": "a", "port": "p0", "method": "leased_line", "protection": "none", "session_management": "none",
   "family": "dual", "mac": "02:00:00:00:00:01", "demarcation": "test", "ipv4": "192.0.2.1/24", "ipv6": "2001:db8:0:1::1/64"}],
 "institutions": [], "translations": [], "agreements": [], "routes": [], "gates": []}
JSON

ip netns add "$peer"
ip link add "$link" type veth peer name wire netns "$peer"
from_peer ethtool -K wire tx off >/dev/null
ip link set "$link" up
for name in lo wire; do ip -n "$peer" link set "$name" up; done
ip -n "$peer" address add 192.0.2.9/24 dev wire
ip -n "$peer" address add 2001:db8:0:1::9/64 dev wire nodad

# ---- The hub and the kernel on one wire: 192.0.2.1 is the hub's, 192.0.2.100 the kernel's.
ip address add 192.0.2.100/32 dev "$link"
ip route add 192.0.2.9/32 dev "$link" src 192.0.2.100
python3 -c '
import socket, sys
listeners = []
for port in 22, 23:
    listeners.append(socket.create_server(("192.0.2.100", port)))
while True:
    listeners[0].accept()[0].close()
' &
server=$!
start
check "the program is there" test "$(program)" = sekisho_steer
check "the hub answers for its own address" from_peer ping -c 2 -i 0.2 -W 3 192.0.2.1
check "the hub answers for its own address, IPv6" from_peer ping -c 2 -i 0.2 -W 3 2001:db8:0:1::1
check "the kernel answers for its own" from_peer ping -c 2 -i 0.2 -W 3 192.0.2.100
check "SSH's port reaches the kernel" connects 192.0.2.100 22
check "a port that is not the kernel's does not" fails connects 192.0.2.100 23
check "the hub counted what it left" test "$(to_kernel)" -ge 5
ip address add 192.0.2.101/32 dev "$link"
sleep 2
check "an address that came later is the kernel's too" from_peer ping -c 2 -i 0.2 -W 3 192.0.2.101
ip address delete 192.0.2.101/32 dev "$link"

# ---- Lives and deaths.
check "another sekishod may not have the port" refuses "is in use by process $daemon" another --port "p0=net_af_xdp0,iface=$link"
check "and the first goes on" from_peer ping -c 1 -W 3 192.0.2.1
stop -KILL
check "a killed one leaves its program" test "$(program)" = sekisho_steer
start --kernel p0=none
check "the next clears it away and goes on" from_peer ping -c 2 -i 0.2 -W 3 192.0.2.1
check "nothing is the kernel's now but ARP" fails connects 192.0.2.100 22
stop -TERM
check "a clean end takes the program away" test "$(program)" = none

# ---- Strangers and mistakes.
python3 - "$work/stranger.o" <<'PYTHON'
import subprocess, sys
source = '__attribute__((section("xdp"), used)) int stranger(void *c) { return 2; }\nchar _license[] __attribute__((section("license"), used)) = "GPL";\n'
subprocess.run(["clang", "-O2", "-target", "bpf", "-x", "c", "-c", "-", "-o", sys.argv[1]], input=source, text=True, check=True)
PYTHON
ip link set dev "$link" xdp obj "$work/stranger.o" sec xdp
check "a stranger's program is not removed" refuses "has the XDP program \"stranger\"" another --port "p0=net_af_xdp0,iface=$link"
check "it is still there" test "$(program)" = stranger
ip link set dev "$link" xdp off
check "an interface that is not there" refuses "there is no interface sk-none" another --port p0=net_af_xdp0,iface=sk-none
check "services that are none" refuses '"tcp/0": icmp, tcp/PORT or udp/PORT is expected' another --port "p0=net_af_xdp0,iface=$link" --kernel p0=tcp/0
check "services of a port that is not there" refuses 'there is no --port "p1"' another --port "p0=net_af_xdp0,iface=$link" --kernel p1=icmp
check "services of a port of another kind" refuses "is not of net_af_xdp" another --port p0=net_tap0,iface=sk-none --kernel p0=icmp

[ "$failures" -eq 0 ] || { echo "$failures failed"; exit 1; }

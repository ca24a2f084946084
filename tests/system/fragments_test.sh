#!/usr/bin/env bash
# Two hosts of the Linux kernel send datagrams through the hub that are longer than its ways: each kernel cuts its own and
# puts together what it gets, so it is the judge of what the hub does with fragments, of the MTU that it is told, and of the MSS.
#
#   fragments_test.sh BUILD-DIR
#
# Needs root, for network namespaces and TAP devices; exits 77 without. Makes the namespaces sk-frag-kita and
# sk-frag-minami, and removes them.
set -euo pipefail
build=$(realpath "$1")
cd "$(dirname "$0")/../.."
source scripts/lib.sh
[ "$(id -u)" -eq 0 ] || { say "SKIPPED: needs root"; exit 77; }
for tool in ip jq ping python3; do have $tool || { say "SKIPPED: needs $tool"; exit 77; }; done

kita=sk-frag-kita minami=sk-frag-minami
work=$(mktemp -d "${TMPDIR:-/tmp}/sekisho-fragments.XXXXXX")
daemon='' server=''

clean_up() {
    local pid
    for pid in $server $daemon; do kill "$pid" 2>/dev/null || true; done
    for pid in $server $daemon; do wait "$pid" 2>/dev/null || true; done
    ip netns delete $kita 2>/dev/null || true
    ip netns delete $minami 2>/dev/null || true
    rm -rf "$work"
}
for name in $kita $minami; do
    [ ! -e "/run/netns/$name" ] || fail "there is a network namespace \"$name\" already; it is not ours to use"
done
trap clean_up EXIT
trap 'exit 130' INT TERM

ctl() { "$build/control/sekishoctl" --socket "$work/control.sock" "$@"; }

# policy MTU-OF-MINAMI: kita and minami of the quickstart, with UDP beside what is agreed there.
policy() {
    jq --argjson mtu "$1" '
        .operators |= map(select(.id != "chuo"))
        | .attachments |= (map(select(.operator != "chuo")) | map(.mtu = if .operator == "minami" then $mtu else 1500 end))
        | .translations |= map(select(.operator != "chuo"))
        | .institutions |= map(select(.operator != "chuo"))
        | .agreements |= map(select(.id != "kita-provider-https"))' docs/examples/quickstart.json >"$work/policy-$1.json"
    echo "$work/policy-$1.json"
}

# host NAMESPACE DEVICE: a host of that operator, at 10.1.1.10 and fd00:0:0:1::10, with the link to the hub.
host() {
    ip netns add "$1"
    ip link set "$2" netns "$1"
    # It asks for its neighbour by the address that it has on the link.
    ip netns exec "$1" sysctl -qw net.ipv4.conf.all.arp_announce=2 net.ipv6.conf.all.accept_ra=0
    ip -n "$1" link set lo up
    ip -n "$1" link set "$2" up
    ip -n "$1" address add 192.0.2.2/30 dev "$2"
    ip -n "$1" address add 2001:db8:0:101::2/64 dev "$2" nodad
    ip -n "$1" address add 10.1.1.10/32 dev lo
    ip -n "$1" address add fd00:0:0:1::10/128 dev lo nodad
    ip -n "$1" route add default via 192.0.2.1 src 10.1.1.10
    ip -n "$1" route add default via 2001:db8:0:101::1 src fd00:0:0:1::10
}
failures=0
check() {
    local words=$1
    shift
    if "$@" >"$work/out" 2>&1; then say "ok: $words"; return; fi
    failures=$((failures + 1))
    say "FAILED: $words: $*"
    cat "$work/out" >&2
}
no() { ! "$@"; }
pings() { ip netns exec $kita ping -c 3 -i 0.2 -W 2 "$@"; }
all_answered() { pings "$@" | tee "$work/ping" && grep -q ' 0% packet loss' "$work/ping"; }
# segment_is_at_most BYTES ADDRESS: what kita's TCP may send at once in a connection to minami's port 443.
segment_is_at_most() {
    ip netns exec $kita python3 - "$@" <<'PYTHON'
import socket
import sys

most, address = int(sys.argv[1]), sys.argv[2]
with socket.create_connection((address, 443), timeout=5) as connection:
    size = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    connection.sendall(bytes(100_000))
    connection.shutdown(socket.SHUT_WR)
    received = len(connection.makefile("rb").read())
print(f"segments of {size} bytes, {received} bytes back")
sys.exit(0 if most - 40 <= size <= most and received == 100_000 else 1)
PYTHON
}

"$build/control/sekishod" --socket "$work/control.sock" --state-dir "$work/state" --no-huge \
    --file-prefix "sk-fragments-$$" --policy "$(policy 1500)" \
    --port kita0=net_tap0,iface=sk-frag0 --port minami0=net_tap1,iface=sk-frag1 >"$work/log" 2>&1 &
daemon=$!
ctl wait-ready --timeout 30 >/dev/null || { cat "$work/log" >&2; fail "sekishod did not start"; }
host $kita sk-frag0
host $minami sk-frag1
ip netns exec $minami python3 - <<'PYTHON' &
import socket
import threading


def echo(connection):
    with connection:
        connection.sendall(connection.makefile("rb").read())


server = socket.create_server(("::", 443), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
PYTHON
server=$!
sleep 1

# 1. The hosts cut at 1,500 bytes, and the hub's ways carry as much.
check "one ping, so that everyone knows everyone" pings 100.65.1.10
check "one ping, IPv6" pings 2001:db8:8002:1::10
for size in 1473 2000 4000 20000 60000; do
    check "$size bytes in fragments, there and back" all_answered -s $size -M dont 100.65.1.10
    check "$size bytes in fragments, there and back, IPv6" all_answered -s $size 2001:db8:8002:1::10
done
no_fragment_dropped() { ctl --json show drops | jq -e '[.items[].reason | select(startswith("fragment"))] == []'; }
check "no fragment was dropped" no_fragment_dropped

# 2. The way to minami carries 1,400: the hub cuts IPv4, and tells IPv6 and whoever forbids it.
ctl apply "$(policy 1400)" >/dev/null
for size in 1400 4000 20000; do
    check "$size bytes of IPv4, cut again by the hub" all_answered -s $size -M dont 100.65.1.10
done
check "1,472 bytes that may not be cut" no pings -s 1472 -M "do" 100.65.1.10
told() { ip -n $kita route get 100.65.1.10 | grep -q 'mtu 1400'; }
check "and kita was told 1,400" told
check "what fits" all_answered -s 1372 -M "do" 100.65.1.10
check "4,000 bytes of IPv6: the first ones are told, the next ones fit" pings -s 4000 2001:db8:8002:1::10
check "and then all of them" all_answered -s 4000 2001:db8:8002:1::10
ip -n $kita route flush cache  # so that it is the SYN that tells them, not what was told before
ip -n $kita -6 route flush cache
check "TCP's segments fit" segment_is_at_most 1360 100.65.1.10
check "TCP's segments fit, IPv6" segment_is_at_most 1340 2001:db8:8002:1::10
check "no fragment was dropped" no_fragment_dropped

balanced() { ctl --json show counters | jq -e '[.ports[].unaccounted, .node.unaccounted] | all(. == 0)'; }
check "every packet is accounted for" balanced

if [ $failures -ne 0 ]; then
    ctl show drops >&2
    cat "$work/log" >&2
    fail "$failures checks failed"
fi

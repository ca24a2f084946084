#!/usr/bin/env bash
# A tunnel whose path is narrower than its line: the peer is behind a Linux router whose far link takes 1,400 bytes. The router's own
# kernel says so about our ESP (RFC 1191), the hub tells the sender of what is inside, and that sender's kernel sends less from then on.
#
#   tests/system/path_mtu_test.sh BUILD-DIR
#
# Needs root; without what it needs it is skipped (77). Leaves nothing behind. [conformance-42]
set -euo pipefail
# shellcheck source=tests/system/support.sh
source "$(dirname "$0")/support.sh"
# shellcheck source=tests/system/esp_support.sh
source tests/system/esp_support.sh
/usr/bin/python3 -c 'import scapy.layers.ipsec' 2>/dev/null || skip "there is no scapy"

router=sk-m$$-router kita=sk-m$$-kita minami=sk-m$$-minami
daemon=''
peer_address=203.0.113.2

end() { [ -z "$1" ] || { kill "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }; }
clean_up() {
    end "$peer"; end "$daemon"
    for space in "$router" "$kita" "$minami"; do ip netns delete "$space" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

in_router() { ip netns exec "$router" "$@"; }
in_kita() { ip netns exec "$kita" "$@"; }
in_minami() { ip netns exec "$minami" "$@"; }
lossless() { "$@" | grep ' 0% packet loss'; }

for space in "$router" "$kita" "$minami"; do
    ip netns add "$space"
    ip netns exec "$space" ip link set lo up
    ip netns exec "$space" sysctl -qw net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.router_solicitations=0
done
# kita's peer, behind the narrow link of the router.
ip link add "mr$$" netns "$router" mtu 1400 type veth peer name "mk$$" netns "$kita" mtu 1400
in_router ip address add 203.0.113.1/24 dev "mr$$"
in_router ip link set "mr$$" up
in_router sysctl -qw net.ipv4.ip_forward=1
in_kita ip address add 203.0.113.2/24 dev "mk$$"
in_kita ip link set "mk$$" up
in_kita ip route add default via 203.0.113.1

jq '.tunnels[0].peer = "203.0.113.2"
    | .routes += [{operator: "kita", prefix: "203.0.113.0/24", nexthops: [{attachment: "kita-line", gateway: "192.0.2.2"}]}]
    | .agreements += [{id: "minami-kita-echo", protocol: "icmp_echo", clients: {operators: ["minami"]}, services: {institutions: ["kita-clinic"]}}]' \
    docs/examples/protected.json >"$work/policy.json"
"$build/control/sekishod" --socket "$socket" --state-dir "$work/state" --no-huge --memory 256 --buffers 8192 --file-prefix "sk-path-mtu-$$" \
    --policy "$work/policy.json" --manual-keys local_ledger --port "kita0=net_tap0,iface=mh$$" --port "minami0=net_tap1,iface=mm$$" \
    --port "chuo0=net_tap2,iface=mc$$" >"$work/sekishod.out" 2>"$work/sekishod.log" &
daemon=$!
ctl wait-ready --timeout 30 >/dev/null || { cat "$work/sekishod.log"; exit 1; }
ip link set "mh$$" netns "$router"
in_router ip address add 192.0.2.2/30 dev "mh$$"
in_router ip link set "mh$$" up
ip link set "mm$$" netns "$minami"
in_minami ip address add 192.0.2.2/30 dev "mm$$"
in_minami ip address add 2001:db8:0:101::2/64 dev "mm$$" nodad
in_minami ip link set "mm$$" up
in_minami ip address add 10.1.1.10/32 dev lo
in_minami ip address add fd00:0:0:1::10/128 dev lo
in_minami ip route add 100.64.0.0/10 via 192.0.2.1 src 10.1.1.10
in_minami ip route add 2001:db8:8000::/33 via 2001:db8:0:101::1 src fd00:0:0:1::10

ctl ledger new
sleep 1.1
created=$(TZ=Asia/Tokyo date +%Y-%m-%dT%H:%M:%S+09:00)
keys first 4096
peer_has first first
start_peer 1300
ctl sa install "$work/first.json" >/dev/null

# What is inside may have 1,400 bytes less outer header, SPI and sequence number, IV and ICV, in words of four, less two of the trailer.
inside=$(((1400 - 20 - 8 - 8 - 16) / 4 * 4 - 2))
tunnel() { ctl --json show tunnels | jq '.items[] | select(.id == "kita-esp")'; }
line_carries=$(tunnel | jq .mtu)

echo "== As the line is"
check "small packets reach the peer" lossless in_minami ping -c 3 -i 0.2 -W 2 100.64.1.10
check "no router has said anything" test "$(tunnel | jq .path_mtu)" = null

echo "== A packet that is too long for the path"
# The first of them is lost: it was sealed. The router's message is about that.
in_minami ping -c 4 -i 0.3 -W 1 -M "do" -s 1390 100.64.1.10 >"$work/ping" 2>&1 || true
check "the router's kernel has said what it takes" test "$(tunnel | jq .path_mtu.outer)" = 1400
check "the tunnel carries that much less" test "$(tunnel | jq .mtu)" = "$inside" -a "$inside" -lt "$line_carries"
check "the sender was told, by the hub" grep -q "mtu *= *$inside" "$work/ping"
check "and its kernel remembers" sh -c "ip netns exec $minami ip route get 100.64.1.10 | grep -q 'mtu $inside'"
check "nothing was taken for a lie" test "$(ctl --json show sa | jq .path_mtus_refused)" = 0

echo "== From then on"
check "what just fits goes through" lossless in_minami ping -c 3 -i 0.2 -W 2 -M "do" -s $((inside - 28)) 100.64.1.10
in_minami ping -6 -c 2 -i 0.3 -W 1 -M "do" -s $((inside - 47)) 2001:db8:8001:1::10 >"$work/ping" 2>&1 || true
check "a sender of IPv6 is told as well" grep -q "mtu *= *$inside" "$work/ping"
check "and what just fits goes through" lossless in_minami ping -6 -c 3 -i 0.2 -W 2 -M "do" -s $((inside - 48)) 2001:db8:8001:1::10
check "without DF it goes in fragments" lossless in_minami ping -c 3 -i 0.2 -W 2 -M dont -s 1390 100.64.1.10
check "every packet is accounted for" test "$(ctl --json show counters | jq .node.unaccounted)" = 0

[ "$failures" -eq 0 ] || { cat "$work/sekishod.log" "$work/peer.log"; echo "$failures checks failed"; exit 1; }

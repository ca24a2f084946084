#!/usr/bin/env bash
# The kernel's share of an attachment: FRR in the operator's namespace speaks BGP and BFD, through the attachment's TAP, with
# FRR on a router beyond the port; both families. Floods, closed gates, and namespaces that come and go are withstood.
#
#   tests/system/kernel_share_test.sh BUILD-DIR
#
# Needs root; without what it needs it is skipped (77). Leaves nothing behind.
set -euo pipefail
# shellcheck disable=SC2034  # support.sh reads it
tools=vtysh
# shellcheck source=tests/system/support.sh
source "$(dirname "$0")/support.sh"
frr=/usr/lib/frr
[ -x $frr/bfdd ] || skip "there is no FRR"

here=sk-k$$ hub=sk-k$$-hub router=sk-k$$-router interface=hub-kita
daemon=
routing=()

clean_up() {
    for process in "${routing[@]}" $daemon; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for space in "$hub" "$router"; do ip netns delete "$space" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# within SECONDS COMMAND…: until it succeeds.
within() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $until ] || { "$@"; return 1; }; sleep 0.2; done
}

policy() {
    python3 - "$hub" "$interface" <<'PYTHON'
import json, sys
document = {"hub": {"rules_version": "test", "pools": ["100.64.0.0/10", "2001:db8:8000::/33"]},
            "operators": [{"id": "kita", "name": "kita", "network_namespace": sys.argv[1], "certification": {
                "number": "k", "valid_from": "2026-04-01", "valid_until": "2099-03-31", "expiry_action": "warn"}}],
            "attachments": [{"id": "kita-1", "operator": "kita", "port": "k0", "method": "leased_line", "protection": "none",
                             "session_management": "none", "family": "dual", "mac": "02:00:00:00:00:01", "demarcation": "test",
                             "ipv4": "192.0.2.1/30", "ipv6": "2001:db8:0:1::1/64", "kernel_interface": sys.argv[2]}],
            "institutions": [], "translations": [], "agreements": [], "routes": [], "gates": []}
print(json.dumps(document))
PYTHON
}

# start_frr SPACE INTERFACE OWN-NUMBER OWN4 OTHER4 OWN6 OTHER6
start_frr() {
    local space=$1 directory=$work/$1 own=$3 other=65001
    [ "$own" = 65000 ] || other=65000
    rm -rf "$directory"  # with the sockets of an earlier one
    mkdir "$directory"
    cat >"$directory/zebra.conf" <<CONF
interface $2
 ip address $4
 ipv6 address $6
CONF
    cat >"$directory/bgpd.conf" <<CONF
router bgp $own
 bgp router-id ${4%/*}
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 neighbor $5 remote-as $other
 neighbor $5 bfd
 neighbor $5 timers connect 1
 neighbor $7 remote-as $other
 neighbor $7 bfd
 neighbor $7 timers connect 1
 address-family ipv4 unicast
  neighbor $5 activate
  network 10.$((own - 65000)).0.0/16
 exit-address-family
 address-family ipv6 unicast
  neighbor $7 activate
  network fd00:$((own - 65000))::/32
 exit-address-family
no bgp network import-check
CONF
    : >"$directory/bfdd.conf"
    chmod 711 "$work"
    chown -R frr:frr "$directory"
    local name
    for name in zebra bfdd bgpd; do
        local more=()
        [ $name != bfdd ] || more=(--bfdctl "$directory/bfdd.control")
        [ $name != bgpd ] || more=(--no_kernel)
        ip netns exec "$space" $frr/$name -i "$directory/$name.pid" -z "$directory/zserv" --vty_socket "$directory" -P 0 \
            -f "$directory/$name.conf" --log stdout "${more[@]}" >"$directory/$name.log" 2>&1 &
        routing+=($!)
        within 10 test -S "$directory/$name.vty" || cat "$directory/$name.log"
    done
}
vty() { vtysh --vty_socket "$work/$1" -c "$2"; }
bgp_is_up() { vty "$1" "show bgp $2 unicast summary json" | jq -e '[.peers[] | .state == "Established"] | length == 1 and all'; }
has_routes() { vty "$1" "show bgp $2 unicast json" | jq -e --arg prefix "$3" '.routes | has($prefix)'; }
bfd_is() { vty "$1" "show bfd peers json" | jq -e --arg state "$2" '[.[].status == $state] | length == 2 and all'; }
bfd_downs() { vty "$1" "show bfd peers counters json" | jq '[.[]."session-down"] | add'; }
tap() { ctl --json show taps | jq -e ".items[0] | $1"; }
drops() { ctl --json show drops | jq -e "[.items[] | select(.reason == \"$1\") | .count] | add // 0"; }
on() { ip netns exec "$@"; }
more_drops() { [ "$(drops "$1")" -ge "$2" ] || { echo "$1: $(drops "$1")"; return 1; }; }

for space in "$hub" "$router"; do
    ip netns add "$space"
    ip -n "$space" link set lo up
    on "$space" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.forwarding=1
done
policy >"$work/policy.json"
"$build/control/sekishod" --socket "$socket" --state-dir "$work/state" --no-huge --memory 256 --buffers 8192 --file-prefix "sk-kernel-$$" \
    --policy "$work/policy.json" --port "k0=net_tap0,iface=${here}" >"$work/sekishod.log" 2>&1 &
daemon=$!
ctl wait-ready --timeout 30 >/dev/null || { cat "$work/sekishod.log"; exit 1; }
ctl --json events >"$work/events" 2>&1 &
routing+=($!)
ip link set "$here" netns "$router"
ip -n "$router" link set "$here" up
check "the TAP is in the operator's namespace" within 10 ip -n "$hub" link show dev $interface
ip -n "$hub" link set $interface up

echo "sessions"
start_frr "$router" "$here" 65001 192.0.2.2/30 192.0.2.1 2001:db8:0:1::2/64 2001:db8:0:1::1
start_frr "$hub" $interface 65000 192.0.2.1/30 192.0.2.2 2001:db8:0:1::1/64 2001:db8:0:1::2
check "BGP is up, IPv4" within 40 bgp_is_up "$hub" ipv4
check "BGP is up, IPv6" within 40 bgp_is_up "$hub" ipv6
check "the operator's routes are there" within 20 has_routes "$hub" ipv4 10.1.0.0/16
check "the operator's routes are there, IPv6" within 20 has_routes "$hub" ipv6 fd00:1::/32
check "BFD is up on both sides" within 20 bfd_is "$hub" up
check "BFD is up on both sides" within 20 bfd_is "$router" up
check "the namespace pings the router" on "$hub" ping -c 2 -i 0.2 -W 1 192.0.2.2
check "the namespace pings the router, IPv6, in fragments" on "$hub" ping -c 2 -i 0.2 -W 1 -s 4000 2001:db8:0:1::2
check "the router pings the hub, which answers itself" on "$router" ping -c 2 -i 0.2 -W 1 192.0.2.1
check "sekishoctl shows the TAP" tap '.state == "open" and .to_kernel > 10 and .from_kernel > 10'

echo "a flood"
downs=$(bfd_downs "$hub")
check "50,000 packets to the hub's address" on "$router" python3 -c '
import socket
flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(50000):
    flood.sendto(b"x" * 64, ("192.0.2.1", 1000 + number % 1000))
'
check "most of them met the budget" test "$(drops local_rate)" -gt 10000
check "BFD did not notice" test "$(bfd_downs "$hub")" -eq "$downs"
check "nor did BGP" bgp_is_up "$hub" ipv4

echo "in nobody else's name"
refused=$(drops kernel_frame_refused)
check "the namespace sends from another address" on "$hub" python3 -c '
import socket, sys
frame = bytes.fromhex("020000000002" "020000000001" "0800" "4500001c000000004011" "0000" "c0000205" "c0000202" "0035003500080000")
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind((sys.argv[1], 0))
for _ in range(5):
    raw.send(frame)
' $interface
check "and is refused" within 5 more_drops kernel_frame_refused $((refused + 5))
echo "a closed line"
check "the attachment is closed by hand" ctl gate close attachment kita-1 --id emergency --reason emergency
check "BFD is down on both sides" within 20 bfd_is "$router" down
check "it is opened again" ctl gate open emergency
check "BFD is up on both sides" within 40 bfd_is "$router" up

echo "the namespace goes and comes back"
for process in "${routing[@]:4:3}"; do kill "$process"; wait "$process" 2>/dev/null || true; done
ip netns delete "$hub"
check "the daemon says so" within 10 tap '.state == "waiting" and (.words | contains("no network namespace"))'
ip netns add "$hub"
on "$hub" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.forwarding=1
check "the TAP is back" within 10 ip -n "$hub" link show dev $interface
ip -n "$hub" link set $interface up
start_frr "$hub" $interface 65000 192.0.2.1/30 192.0.2.2 2001:db8:0:1::1/64 2001:db8:0:1::2
check "BGP is up again" within 60 bgp_is_up "$hub" ipv4
check "BFD is up again" within 60 bfd_is "$router" up
check "events told it" jq -es '[.[] | .. | objects | select(.kind? == "tap") | .state] | (index("waiting") != null and index("open") != null)' "$work/events"
check "every packet is accounted for" sh -c "'$build/control/sekishoctl' --socket '$socket' --json show counters | jq -e '[.ports[].unaccounted, .node.unaccounted] | all(. == 0)'"

[ "$failures" -eq 0 ] || {
    ctl show taps; ctl show drops; ctl show counters; cat "$work/sekishod.log"
    tail -n 20 "$work/$hub"/*.log
    echo "$failures failed"
    exit 1
}

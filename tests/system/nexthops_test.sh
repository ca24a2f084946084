#!/usr/bin/env bash
# An institution with two lines, a Linux host behind them: the backup line takes over and gives back, flows spread over
# equal lines, a station that changes its MAC address is followed, and neighbours live on while they are used.
#
#   tests/system/nexthops_test.sh BUILD-DIR
#
# Needs root; without what it needs it is skipped (77). Leaves nothing behind.
set -euo pipefail
# shellcheck source=tests/system/support.sh
source "$(dirname "$0")/support.sh"

here=sk-n$$
daemon=

clean_up() {
    if [ -n "$daemon" ]; then kill "$daemon" 2>/dev/null || true; wait "$daemon" 2>/dev/null || true; fi
    for side in a b; do ip netns delete "$here-$side" 2>/dev/null || true; done
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

# b's host is 10.1.1.10 and fd00:0:0:1::10 behind two lines; SECOND is what is said of the second one's nexthop.
policy() {
    python3 - "$1" <<'PYTHON'
import json, sys
second = json.loads(sys.argv[1])
document = {"hub": {"rules_version": "test", "pools": ["100.64.0.0/10", "2001:db8:8000::/33"]}, "operators": [], "attachments": [],
            "institutions": [], "translations": [], "agreements": [], "routes": [], "gates": []}
for number, side in enumerate("ab"):
    document["operators"].append({"id": side, "name": side, "certification": {
        "number": side, "valid_from": "2026-04-01", "valid_until": "2099-03-31", "expiry_action": "warn"}})
    hubs = [f"100.64.{number}.0/24", f"2001:db8:800{number}:1::/64"]
    for inside, hub in zip(["10.1.1.0/24", "fd00:0:0:1::/64"], hubs):
        document["translations"].append({"id": f"{side}-{len(hub)}", "operator": side, "kind": "prefix_map", "operator_prefix": inside, "hub_prefix": hub})
    document["institutions"].append({
        "id": f"{side}-host", "operator": side, "kind": "hospital", "certificate": side, "application": side, "prefixes": hubs,
        "links": [{"method": "leased_line", "access_line_operator": "x", "cpe": "x", "demarcation": "x",
                   "attachments": ["a"] if side == "a" else ["b1", "b2"]}]})
def attach(name, number, ipv4, ipv6):
    document["attachments"].append({
        "id": name, "operator": name[0], "port": f"{name}0", "method": "leased_line", "protection": "none", "session_management": "none", "family": "dual",
        "mac": f"02:00:00:00:00:0{number}", "demarcation": "test", "ipv4": ipv4, "ipv6": ipv6, "reachable_time": 2})
attach("a", 1, "10.1.1.1/24", "fd00:0:0:1::1/64")
attach("b1", 2, "192.0.2.1/30", "2001:db8:0:1::1/64")
attach("b2", 3, "192.0.2.5/30", "2001:db8:0:2::1/64")
for prefix, gateways in [("10.1.1.0/24", ["192.0.2.2", "192.0.2.6"]), ("fd00:0:0:1::/64", ["2001:db8:0:1::2", "2001:db8:0:2::2"])]:
    document["routes"].append({"operator": "b", "prefix": prefix, "nexthops": [
        {"attachment": "b1", "gateway": gateways[0]}, {"attachment": "b2", "gateway": gateways[1], **second}]})
for protocol in "icmp_echo", "udp":
    agreement = {"id": protocol, "protocol": protocol, "state": "stateless", "clients": {"operators": ["a"]}, "services": {"institutions": ["b-host"]}}
    if protocol == "udp":
        agreement["ports"] = [5000]
    document["agreements"].append(agreement)
print(json.dumps(document))
PYTHON
}

on() { ip netns exec "$here-$1" "${@:2}"; }
line() { ip -n "$here-$1" "${@:2}"; }
used() { ctl --json show routes | jq -r '[.items[].nexthops[] | select(.used) | .attachment] | sort | join(" ")'; }
uses() { [ "$(used)" = "$1" ] || { echo "used: $(used)"; return 1; }; }
# The packets of a ping, and those that came back.
lost() { on a ping -q -i 0.1 -c "$1" -W 1 "$2" | awk '/packets transmitted/ { print $1 - $4 }'; }
loses_at_most() { local gone; gone=$(lost "$2" "$3"); echo "lost $gone"; [ "$gone" -le "$1" ]; }
transmitted() { ctl --json show counters | jq ".ports[] | select(.port == \"$1\") | .transmitted"; }

for side in a b; do
    ip netns add "$here-$side"
    line $side link set lo up
    on $side sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.router_solicitations=0 \
        net.ipv4.conf.default.arp_notify=1 net.ipv6.conf.default.ndisc_notify=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
done
policy '{"backup": true}' >"$work/policy.json"
"$build/control/sekishod" --socket "$socket" --state-dir "$work/state" --no-huge --memory 256 --buffers 8192 --file-prefix "sk-nexthops-$$" \
    --policy "$work/policy.json" --port "a0=net_tap0,iface=${here}a" --port "b10=net_tap1,iface=${here}b1" --port "b20=net_tap2,iface=${here}b2" \
    >"$work/sekishod.log" 2>&1 &
daemon=$!
ctl wait-ready --timeout 30 >/dev/null || { cat "$work/sekishod.log"; exit 1; }
ctl --json events >"$work/events" 2>&1 &
events=$!
ip link set "${here}a" netns "$here-a"
for number in 1 2; do ip link set "${here}b$number" netns "$here-b"; done
line a address add 10.1.1.10/24 dev "${here}a"
line a address add fd00:0:0:1::10/64 dev "${here}a"
line a link set "${here}a" up
line a route add default via 10.1.1.1
line a route add default via fd00:0:0:1::1
line b address add 10.1.1.10/32 dev lo
line b address add fd00:0:0:1::10/128 dev lo
# The host's own way out: by either line, the first while it is there.
bring_up() {
    local number=$1 low=$((4 * ($1 - 1)))
    line b link set "${here}b$number" up
    line b address replace "192.0.2.$((low + 2))/30" dev "${here}b$number"
    line b address replace "2001:db8:0:$number::2/64" dev "${here}b$number"
    line b route replace default via "192.0.2.$((low + 1))" metric "$number" src 10.1.1.10
    line b -6 route replace default via "2001:db8:0:$number::1" metric "$number" src fd00:0:0:1::10
}

echo "a backup line"
# What the hub does not know yet it would withdraw later, in the midst of what follows.
check "lines that are down are not used" within 20 uses ""
bring_up 1
bring_up 2
check "the first line is used" within 20 uses "b1 b1"
check "ping" within 10 on a ping -c 1 -W 1 100.64.1.10
check "ping, IPv6" within 10 on a ping -c 1 -W 1 2001:db8:8001:1::10
# Reachable for two seconds: while 100 packets pass, the neighbours are asked again several times, and nobody notices.
check "100 packets while neighbours age" loses_at_most 0 100 100.64.1.10
check "100 packets while neighbours age, IPv6" loses_at_most 0 100 2001:db8:8001:1::10

line b link set "${here}b1" down
check "the first line fails: the second takes over" within 30 uses "b2 b2"
check "ping" within 5 on a ping -c 1 -W 1 100.64.1.10
check "ping, IPv6" within 5 on a ping -c 1 -W 1 2001:db8:8001:1::10
check "20 packets by the backup" loses_at_most 0 20 100.64.1.10
bring_up 1
check "the first line is back and is used again" within 30 uses "b1 b1"
check "ping" within 5 on a ping -c 1 -W 1 100.64.1.10
check "ping, IPv6" within 5 on a ping -c 1 -W 1 2001:db8:8001:1::10
sleep 1  # events are told twice a second
check "events told it" jq -es '[.[] | .. | objects | select(.kind? == "nexthop" and .attachment == "b1") | .state] | (index("withdrawn") != null and index("usable") != null)' "$work/events"

echo "another MAC address"
line b link set "${here}b1" address 02:00:00:00:99:77
check "the station's new MAC address is learnt from what it says" within 10 sh -c "'$build/control/sekishoctl' --socket '$socket' --json show neighbours |
    jq -e '[.items[] | select(.attachment == \"b1\" and .mac == \"02:00:00:00:99:77\")] | length > 0'"
check "ping" within 10 on a ping -c 1 -W 1 100.64.1.10
check "20 packets to the new address" loses_at_most 0 20 100.64.1.10

echo "two equal lines"
policy '{}' >"$work/equal.json"
ctl apply "$work/equal.json" >"$work/apply" 2>&1 || { cat "$work/apply"; exit 1; }
check "both are used" within 20 uses "b1 b1 b2 b2"
before1=$(transmitted b10) before2=$(transmitted b20)
check "400 flows are sent" on a python3 -c '
import socket, time
for number in range(400):
    flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flow.bind(("0.0.0.0", 20000 + number))
    flow.sendto(b"x", ("100.64.1.10", 5000))
    time.sleep(0.002)
'
sleep 0.5
check "each line has a good part of them" test $(($(transmitted b10) - before1)) -ge 120 -a $(($(transmitted b20) - before2)) -ge 120
check "every packet is accounted for" sh -c "'$build/control/sekishoctl' --socket '$socket' --json show counters | jq -e '[.ports[].unaccounted, .node.unaccounted] | all(. == 0)'"
kill $events 2>/dev/null || true
wait $events 2>/dev/null || true

[ "$failures" -eq 0 ] || { ctl show routes; ctl show neighbours; tail -5 "$work/events"; cat "$work/sekishod.log"; echo "$failures failed"; exit 1; }

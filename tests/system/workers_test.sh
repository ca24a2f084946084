#!/usr/bin/env bash
# Two workers between two operators with the same addresses, over TAP devices, with real traffic in both families: once
# with a queue for each worker, once with one queue, which is spread.
#
#   tests/system/workers_test.sh BUILD-DIR
#
# Needs root, iperf3 and curl; without them it is skipped (77). Leaves nothing behind.
set -euo pipefail
tools="iperf3 curl"
# shellcheck source=tests/system/support.sh
source "$(dirname "$0")/support.sh"

here=sk-w$$  # the namespaces and links of this run
daemon=
servers=()

stop_all() {
    local pid
    for pid in "${servers[@]}" $daemon; do kill "$pid" 2>/dev/null || true; done
    for pid in "${servers[@]}" $daemon; do wait "$pid" 2>/dev/null || true; done
    servers=() daemon=
    for side in a b; do ip netns delete "$here-$side" 2>/dev/null || true; done
}
clean_up() { stop_all; rm -rf "$work"; }
trap clean_up EXIT
trap 'exit 130' INT TERM

# Both operators number 10.1.1.0/24 and fd00:0:0:1::/64; each host is on the link to the hub itself.
policy() {
    python3 - <<'PYTHON'
import json
document = {"hub": {"rules_version": "test", "pools": ["100.64.0.0/10", "2001:db8:8000::/33"]}, "operators": [], "attachments": [],
            "institutions": [], "translations": [], "agreements": [], "routes": [], "gates": []}
for number, side in enumerate("ab"):
    document["operators"].append({"id": side, "name": side, "certification": {
        "number": side, "valid_from": "2026-04-01", "valid_until": "2099-03-31", "expiry_action": "warn"}})
    document["attachments"].append({
        "id": side, "operator": side, "port": f"{side}0", "method": "leased_line", "protection": "none", "session_management": "none",
        "family": "dual", "mac": f"02:00:00:00:00:0{number + 1}", "demarcation": "test", "ipv4": "10.1.1.1/24", "ipv6": "fd00:0:0:1::1/64"})
    hubs = [f"100.64.{number}.0/24", f"2001:db8:800{number}:1::/64"]
    for inside, hub in zip(["10.1.1.0/24", "fd00:0:0:1::/64"], hubs):
        document["translations"].append({"id": f"{side}-{len(hub)}", "operator": side, "kind": "prefix_map", "operator_prefix": inside, "hub_prefix": hub})
    document["institutions"].append({
        "id": f"{side}-host", "operator": side, "kind": "hospital", "certificate": side, "application": side, "prefixes": hubs,
        "links": [{"method": "leased_line", "access_line_operator": "x", "cpe": "x", "demarcation": "x", "attachments": [side]}]})
for protocol in ("tcp", "udp"):
    document["agreements"].append({"id": f"all-{protocol}", "protocol": protocol, "ports": [{"first": 5000, "last": 8080}], "state": "stateless",
                                   "clients": {"operators": ["a"]}, "services": {"institutions": ["b-host"]}})
print(json.dumps(document))
PYTHON
}

host() {
    local side=$1 name=$here-$1
    ip netns add "$name"
    ip -n "$name" link set lo up
    ip netns exec "$name" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.router_solicitations=0
    ip link set "$here$side" netns "$name"
    ip -n "$name" address add 10.1.1.10/24 dev "$here$side"
    ip -n "$name" address add fd00:0:0:1::10/64 dev "$here$side"
    ip -n "$name" link set "$here$side" up
    ip -n "$name" route add default via 10.1.1.1
    ip -n "$name" route add default via fd00:0:0:1::1
}
serve() {
    ip netns exec "$@" >/dev/null 2>&1 &
    servers+=($!)
}

# throughput CLIENT-OPTION…: iperf3 between the hosts, with a server and a port of its own: one that still ends an earlier
# measurement refuses the next.
next_port=5201
throughput() {
    local port=$next_port
    next_port=$((next_port + 1))
    serve "$here-b" iperf3 -s -1 -p "$port"
    for _ in $(seq 100); do
        ip netns exec "$here-b" ss -Hltn "sport = :$port" | grep -q . && break
        sleep 0.1
    done
    ip netns exec "$here-a" iperf3 -p "$port" --connect-timeout 5000 "$@"
}

# run WORDS EXPECTED-FLOWS-BY SEKISHOD-OPTION…
run() {
    local words=$1 flows_by=$2
    shift 2
    echo "$words"
    "$build/control/sekishod" --socket "$socket" --state-dir "$work/state" --no-huge --file-prefix "$here" --policy "$work/policy.json" \
        --policy-replace --workers 2 "$@" --port "a0=net_tap0,iface=${here}a" --port "b0=net_tap1,iface=${here}b" >"$work/out" 2>"$work/log" &
    daemon=$!
    ctl wait-ready --timeout 30 >/dev/null || { cat "$work/log"; exit 1; }
    host a
    host b
    check "every port's flows come by: $flows_by" sh -c \
        "'$build/control/sekishoctl' --socket '$socket' --json show ports | jq -e --arg by '$flows_by' '[.items[].flows_by] | all(. == \$by)'"
    serve "$here-b" tests/system/http-server docs 8080
    for _ in $(seq 100); do
        ip netns exec "$here-b" sh -c 'ss -Hltn | grep -q :8080' && break
        sleep 0.1
    done
    local address
    for address in 100.64.1.10 2001:db8:8001:1::10; do
        local url=$address
        case $address in *:*) url="[$address]" ;; esac
        check "a document by HTTP from $address" ip netns exec "$here-a" curl -s --fail --max-time 10 "http://$url:8080/drops.md" -o "$work/page"
        check "and it is whole" cmp "$work/page" docs/drops.md
        check "eight TCP connections to $address" throughput -c "$address" -P 8 -t 2
        check "and the other way" throughput -c "$address" -P 8 -t 2 -R
        check "UDP at 50 Mbit/s in four flows to $address" throughput -c "$address" -u -b 12M -P 4 -t 1
    done
    sleep 0.3  # what is on its way ends
    ctl --json show counters >"$work/counters"
    ctl --json show workers >"$work/workers"
    ctl show workers
    ctl --json show drops >"$work/drops"
    ctl show drops
    check "every packet is accounted for, by port and in all" jq -e '[.ports[].unaccounted, .node.unaccounted] | all(. == 0)' "$work/counters"
    check "nothing is held" jq -e '.node.held == 0' "$work/counters"
    # Eight senders bring more than two workers on two busy cores carry, the busier the more: what is too much is dropped,
    # and TCP sends less then.
    check "full rings cost under a fifth of what is handed over" jq -e 'all(.items[]; .handover_full * 5 <= .handed_over)' "$work/workers"
    check "and nothing else was dropped but what TAP devices tell of themselves" jq -e \
        'all(.items[]; .reason | IN("handover_full", "attachment_unknown", "multicast", "neighbour_hold_full", "transmit_full"))' "$work/drops"
    check "both workers answered, and neither is stalled" jq -e '[.items[] | .answered and .state == "running"] | length == 2 and all' "$work/workers"
    check "both workers walked thousands" jq -e '[.items[].walks] | all(. > 1000)' "$work/workers"
    check "what one handed over the other took" jq -e '([.items[].handed_over] | add) == ([.items[].handed_in] | add)' "$work/workers"
    if [ "$flows_by" = spreader ]; then
        check "both handed over" jq -e '[.items[].handed_over] | all(. > 1000)' "$work/workers"
    fi
    kill "$daemon"
    wait "$daemon" || { failures=$((failures + 1)); echo "   FAILED: sekishod ended with an error"; }
    daemon=
    check "the log's last account balances" sh -c "grep -q 'stopped: received' '$work/log' && ! grep -q 'unaccounted' '$work/log'"
    stop_all
}

policy >"$work/policy.json"
run "two workers, a queue for each" device
run "two workers, one queue that is spread" spreader --queues 1
[ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }

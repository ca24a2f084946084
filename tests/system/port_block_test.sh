#!/usr/bin/env bash
# Hosts of one operator behind a port block, as Linux kernels see them: TCP, ping, UDP that is refused, a server behind the
# block from outside and from beside it; who it was, sessions shown and ended; traceroute, path MTU, simultaneous open, odd
# packets, filtering that changes, throughput. Two workers, so that most packets change hands.
#
#   port_block_test.sh BUILD-DIR
#
# SEKISHO_TEST_SECONDS: how long iperf3 runs each way (2). Makes the namespaces sk-block-kita, -ward (behind kita's router), -chuo and
# -far (behind chuo's), and removes them.
set -euo pipefail
kita=sk-block-kita chuo=sk-block-chuo ward=sk-block-ward far=sk-block-far
seconds=${SEKISHO_TEST_SECONDS:-2}
work='' daemon='' servers=''
clean_up() {
    local pid
    for pid in $servers $daemon; do kill "$pid" 2>/dev/null || true; done
    for pid in $servers $daemon; do wait "$pid" 2>/dev/null || true; done
    for pid in $kita $chuo $ward $far; do ip netns delete "$pid" 2>/dev/null || true; done
    [ -z "$work" ] || rm -rf "$work"
}
tools="traceroute iperf3 tcpdump"
# shellcheck source=tests/system/support.sh
source "$(dirname "$0")/support.sh"
for name in $kita $chuo $ward $far; do
    [ ! -e "/run/netns/$name" ] || { echo "there is a network namespace \"$name\" already; it is not ours to use"; exit 1; }
done
trap clean_up EXIT
trap 'exit 130' INT TERM

# The example, with UDP to a port on which nobody listens, iperf3's, and whatever is lent open to the service provider, as far as
# filtering lets it: not at all, at first.
jq '.agreements += [
      {"id": "mori-udp", "protocol": "udp", "ports": [5000, 5201], "clients": {"institutions": ["mori-pharmacy"]},
       "services": {"institutions": ["eligibility-check"]}},
      {"id": "mori-iperf", "protocol": "tcp", "ports": [{"first": 4440, "last": 4449}, 5201],
       "clients": {"institutions": ["mori-pharmacy"]}, "services": {"institutions": ["eligibility-check"]}},
      {"id": "lent", "protocol": "tcp", "ports": [{"first": 1024, "last": 65535}],
       "clients": {"institutions": ["eligibility-check"]}, "services": {"institutions": ["mori-pharmacy"]}}] |
    (.translations[] | select(.id == "kita-shared")).port_block.filtering = "address_and_port_dependent"
    ' docs/examples/port-block.json >"$work/policy.json"

# host NAMESPACE DEVICE LINK HUB ADDRESS…: hosts with these addresses, behind a router on the link to the hub.
host() {
    local name=$1 device=$2 link=$3 hub=$4 address
    shift 4
    ip netns add "$name"
    ip link set "$device" netns "$name"
    ip netns exec "$name" sysctl -qw net.ipv4.conf.all.arp_announce=2
    ip -n "$name" link set lo up
    ip -n "$name" link set "$device" up
    ip -n "$name" address add "$link" dev "$device"
    for address in "$@"; do ip -n "$name" address add "$address/32" dev lo; done
    ip -n "$name" route add default via "$hub"
}
# beyond NAMESPACE ROUTER ADDRESS LINK-NETWORK: a host with this address behind that router, on a link of 1,300 bytes.
beyond() {
    ip netns add "$1"
    ip link add "$1" netns "$2" mtu 1300 type veth peer name uplink netns "$1" mtu 1300
    ip netns exec "$2" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0
    ip -n "$2" address add "$4.1/30" dev "$1"
    ip -n "$1" address add "$4.2/30" dev uplink
    ip -n "$1" address add "$3/32" dev lo
    for end in "$2 $1" "$1 uplink" "$1 lo"; do ip -n "${end% *}" link set "${end#* }" up; done
    ip -n "$2" route add "$3" via "$4.2"
    ip -n "$1" route add default via "$4.1" src "$3"
}
# serve NAMESPACE ADDRESS PORT: says to each client whom it sees, and sends back what it gets.
serve() {
    ip netns exec "$1" python3 - "$2" "$3" <<'PYTHON' &
import socket
import sys
import threading


def talk(connection, peer):
    with connection:
        connection.sendall(f"{peer[0]} {peer[1]}\n".encode())
        connection.sendall(connection.makefile("rb").read())


server = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=256)
while True:
    threading.Thread(target=talk, args=server.accept(), daemon=True).start()
PYTHON
    servers+=" $!"
}
# connect NAMESPACE SOURCE ADDRESS PORT: as whom the server sees this client; 100,000 bytes go there and back.
connect() {
    ip netns exec "$1" python3 - "$2" "$3" "$4" <<'PYTHON'
import socket
import sys

source, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
with socket.create_connection((address, port), timeout=5, source_address=(source, 0)) as connection:
    answer = connection.makefile("rb")
    seen = answer.readline().decode().strip()
    connection.sendall(bytes(100_000))
    connection.shutdown(socket.SHUT_WR)
    assert len(answer.read()) == 100_000
print(seen)
PYTHON
}
seen_as() { connect "${@:2}" | tee "$work/seen" && grep -Eq "$1" "$work/seen"; }
# As UDP is refused: by the ICMP error about what it sent.
refused() {
    ip netns exec $kita python3 - <<'PYTHON'
import socket

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.bind(("10.2.1.7", 0))
    client.settimeout(3)
    client.connect(("100.66.0.10", 5000))
    client.send(b"?")
    try:
        client.recv(1)
    except ConnectionRefusedError:
        raise SystemExit(0)
raise SystemExit(1)
PYTHON
}
# fifty connections of three hosts at once, each with its own outside port.
fifty() {
    ip netns exec $kita python3 - <<'PYTHON'
import socket

connections = [socket.create_connection(("100.66.0.10", 443), timeout=5, source_address=(f"10.2.1.{7 + i % 3}", 0))
               for i in range(50)]
seen = {connection.makefile("rb").readline() for connection in connections}
assert len(seen) == 50, seen
PYTHON
}

"$build/control/sekishod" --socket "$socket" --state-dir "$work/state" --no-huge --file-prefix "sk-block-$$" \
    --policy "$work/policy.json" --workers 2 \
    --port port0=net_tap0,iface=sk-block0 --port port1=net_tap1,iface=sk-block1 >"$work/log" 2>&1 &
daemon=$!
ctl wait-ready --timeout 30 >/dev/null || { cat "$work/log"; exit 1; }
host $kita sk-block0 192.0.2.2/30 192.0.2.1 10.2.1.7 10.2.1.8 10.2.1.9
host $chuo sk-block1 192.0.2.10/29 192.0.2.9 100.66.0.10
beyond $ward $kita 10.2.1.20 198.51.100
beyond $far $chuo 100.66.0.20 198.51.100
serve $chuo 100.66.0.10 443
serve $kita 10.2.1.9 443
sleep 1

shared='^100\.64\.200\.[0-7] [0-9]+$'
check "ping, from two hosts with one identifier each" ip netns exec $kita ping -c 3 -i 0.2 -W 2 -I 10.2.1.7 100.66.0.10
check "ping, from the other" ip netns exec $kita ping -c 3 -i 0.2 -W 2 -I 10.2.1.8 100.66.0.10
check "3,000 bytes in fragments, there and back" ip netns exec $kita ping -c 2 -i 0.2 -W 2 -s 3000 -I 10.2.1.7 100.66.0.10
check "TCP: the server sees a shared address" seen_as "$shared" $kita 10.2.1.7 100.66.0.10 443
read -r address port <"$work/seen"
check "TCP, from the other host" seen_as "$shared" $kita 10.2.1.8 100.66.0.10 443
check "fifty connections at once, each with a port of its own" fifty
check "an ICMP error finds the socket that it is about" refused
check "a server behind the block, from outside" seen_as '^100\.66\.0\.10 ' $chuo 100.66.0.10 100.64.200.1 8443
check "and from beside it, which it sees as outside" seen_as "$shared" $kita 10.2.1.7 100.64.200.1 8443

# What is in the way is told, and from where it is allowed to be: a router that no map covers is who was asked.
path_is() { ip netns exec $kita traceroute -n -q 1 -w 2 -m 5 "$@" | tee "$work/path" && awk 'NR > 1 { print $2 }' "$work/path" | paste -sd' ' | grep -qx '192.0.2.1 100.66.0.20 100.66.0.20'; }
serve $far 100.66.0.20 443
check "traceroute by echo, through a router outside" path_is -I -s 10.2.1.7 100.66.0.20
check "traceroute by UDP" path_is -U -p 5000 -s 10.2.1.7 100.66.0.20
check "traceroute by TCP" path_is -T -p 443 -s 10.2.1.7 100.66.0.20
check "path MTU, outwards: too long with DF is told to who sent it" python3 tests/system/port_block_talk.py path-mtu $kita 10.2.1.7 $far 100.66.0.20
check "path MTU, inwards: what answers is told" python3 tests/system/port_block_talk.py path-mtu-back $ward 10.2.1.20 $chuo 100.66.0.10
check "TCP through both narrow links" seen_as "$shared" $ward 10.2.1.20 100.66.0.20 443
check "simultaneous open, through a filter" python3 tests/system/port_block_talk.py simultaneous $kita 10.2.1.7 $chuo 100.66.0.10

# Odd packets. The capture ends by itself a moment after the last.
dropped() { ctl --json show drops | jq "[.. | objects | select(.reason? == \"$1\" or .name? == \"$1\") | .count // .packets // 0] | add // 0"; }
ip netns exec $chuo timeout 6 tcpdump -q -i sk-block1 -w "$work/odd.pcap" udp or tcp or icmp or ip proto 47 2>/dev/null &
capture=$!
sleep 1
ip netns exec $kita /usr/bin/python3 tests/system/port_block_odd.py send sk-block0 "$(ip netns exec $kita cat /sys/class/net/sk-block0/address)" 02:00:00:00:01:01
wait $capture || true
check "odd packets: what passes is whole, and the rest does not" /usr/bin/python3 tests/system/port_block_odd.py check "$work/odd.pcap"
ctl --json show drops >"$work/drops"
for reason in no_session icmp_refused port_protocol icmp_error_unmatched icmp_error_malformed fragment_overlap; do
    check "odd packets: $reason" grep -q "\"$reason\"" "$work/drops"
done

# Throughput, both ways, TCP and UDP.
ip netns exec $chuo iperf3 -s -B 100.66.0.10 >"$work/iperf3" 2>&1 &
servers+=" $!"
sleep 0.5
flows() { ip netns exec $kita iperf3 -c 100.66.0.10 -B 10.2.1.8 -t "$seconds" -J "$@" | tee "$work/flow" | jq -e '.end | (.sum_received // .sum).bits_per_second > 1e6'; }
check "iperf3, TCP, four connections" flows -P 4
check "iperf3, TCP, the other way" flows -R
check "iperf3, UDP" flows -u -b 20M

# Filtering, while it runs.
jq '(.translations[] | select(.id == "kita-shared")).port_block.filtering = "endpoint_independent"' "$work/policy.json" >"$work/open.json"
check "filtering is changed" ctl apply "$work/open.json"
check "and the service provider opens to a port that is lent" python3 tests/system/port_block_talk.py opened $kita 10.2.1.8 $chuo 100.66.0.10

# Who it was.
was_mori() { ctl --json who "$@" | tee "$work/who" | jq -e '.items | length == 1 and .[0].institution == "mori-pharmacy" and .[0].host == "10.2.1.7" and .[0].links[0].attachments == ["kita-1"]'; }
check "who: that address and port were the first host's" was_mori "$address" "$port"
sleep 1.1
check "who: and a moment ago, from the log" was_mori "$address" "$port" --at "$(TZ=Asia/Tokyo date +%Y-%m-%dT%H:%M:%S+09:00)"
server_is_told() { ctl --json who 100.64.200.1 8443 | jq -e '.items[0].by == "static_map" and .items[0].host == "10.2.1.9"'; }
check "who: the server" server_is_told
nobody() { ! ctl who 100.64.200.7 1024; }
check "who: nobody" nobody
check "blocks are shown" bash -c "'$build/control/sekishoctl' --socket '$socket' --json show blocks | jq -e '.items | length >= 4'"
lent() { ctl --json show translations | jq -e '.items[] | select(.id == "kita-shared") | .blocks >= 3'; }
check "and counted by translation" lent
explained() { ctl explain --attachment kita-1 --source 10.2.1.7 --destination 100.66.0.10 --protocol tcp --destination-port 443 | tee "$work/explained" && grep -q 'behind port block kita-shared .*filtering endpoint_independent' "$work/explained"; }
check "explain says so" explained

# Sessions, shown and ended.
some() { ctl --json show sessions --operator kita --address 10.2.1.8 | tee "$work/sessions" | jq -e '.items | map(.client, .service | select(.address == "10.2.1.8")) | length > 1 and all(.hub_address | startswith("100.64.200."))'; }
check "sessions are shown by host" some
check "and ended" bash -c "'$build/control/sekishoctl' --socket '$socket' clear session --all"
none() { ctl --json show sessions | jq -e '.matching == 0' && ctl --json show blocks | jq -e '[.items[] | select(has("protocol") | not)] == []'; }
sleep 0.5
check "with their ports" none
check "and TCP goes on anew" seen_as "$shared" $kita 10.2.1.7 100.66.0.10 443

handed() { ctl --json show workers | jq -e '[.items[].handed_over] | add > 0'; }
check "packets went from worker to worker" handed
balanced() { ctl --json show counters | jq -e '[.ports[].unaccounted, .node.unaccounted] | all(. == 0)'; }
check "every packet is accounted for" balanced

if [ "$failures" -ne 0 ]; then
    ctl show drops
    ctl show blocks
    cat "$work/log"
    echo "$failures checks failed"
    exit 1
fi

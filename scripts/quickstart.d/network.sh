# shellcheck shell=bash
# The operators of the quickstart as network namespaces; sourced by scripts/quickstart.
#
#   kita-clinic ──── kita ──┐                 ┌── minami ──── minami-clinic
#   10.1.1.10    192.0.2.2  ├── sekishod ─────┤   192.0.2.2   10.1.1.10
#   fd00:0:0:1::10          │                 │               fd00:0:0:1::10
#                           └── chuo, the provider: 100.66.0.10, 2001:db8:8003::10
#
# kita and minami number alike, to the last address. Their links to the hub are TAP devices of sekishod's, moved in here,
# or ends of veth pairs whose other ends sekishod drives by AF_XDP.

namespaces=(kita kita-clinic minami minami-clinic chuo)

in_ns() { ip netns exec "$@"; }

make_namespaces() {
    local name
    for name in "${namespaces[@]}"; do
        [ ! -e "/run/netns/$name" ] || fail "there is a network namespace \"$name\" already; it is not ours to use"
    done
    for name in "${namespaces[@]}"; do
        ip netns add "$name"
        in_ns "$name" ip link set lo up
        # Addresses are usable at once, nobody's router advertisements change them, and routers answer every probe.
        in_ns "$name" sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0 \
            net.ipv6.conf.default.router_solicitations=0 net.ipv6.icmp.ratelimit=0 net.ipv4.icmp_ratelimit=0
    done
}

remove_namespaces() {
    local name
    for name in "${namespaces[@]}"; do ip netns delete "$name" 2>/dev/null || true; done
    # A pair goes with its namespace, but not at once, and the quickstart may be called again at once.
    for name in "${links[@]}"; do ip link delete "sk-$name-x" 2>/dev/null || true; done
}

# make_ports KIND: sets `ports`, sekishod's arguments. Who is to drive a veth's end finds it there; TAP devices it makes.
links=(kita minami chuo) ports=()
make_ports() {
    local name number=0
    for name in "${links[@]}"; do
        if [ "$1" = net_tap ]; then
            ports+=(--port "${name}0=net_tap$number,iface=sk-$name")
        else
            ip link add "sk-$name-x" type veth peer name "sk-$name"
            # The peers' checksums are filled in before they arrive: nobody does it for an AF_XDP socket.
            ethtool -K "sk-$name" tx off >/dev/null
            # The kernel must not talk on the hub's ends.
            sysctl -qw "net.ipv6.conf.sk-$name-x.disable_ipv6=1"
            ip link set "sk-$name-x" up
            ports+=(--port "${name}0=net_af_xdp$number,iface=sk-$name-x")
        fi
        number=$((number + 1))
    done
}

# operator NAME: its router, with the link to the hub, and a clinic behind it.
make_operator() {
    local name=$1
    ip link set "sk-$name" netns "$name"
    in_ns "$name" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    in_ns "$name" ip address add 192.0.2.2/30 dev "sk-$name"
    in_ns "$name" ip address add 2001:db8:0:101::2/64 dev "sk-$name"
    in_ns "$name" ip link set "sk-$name" up
    in_ns "$name" ip route add default via 192.0.2.1
    in_ns "$name" ip route add default via 2001:db8:0:101::1

    ip -n "$name" link add lan0 type veth peer name eth0 netns "$name-clinic"
    in_ns "$name" ip address add 10.1.1.1/24 dev lan0
    in_ns "$name" ip address add fd00:0:0:1::1/64 dev lan0
    in_ns "$name" ip link set lan0 up
    in_ns "$name-clinic" ip address add 10.1.1.10/24 dev eth0
    in_ns "$name-clinic" ip address add fd00:0:0:1::10/64 dev eth0
    in_ns "$name-clinic" ip link set eth0 up
    in_ns "$name-clinic" ip route add default via 10.1.1.1
    in_ns "$name-clinic" ip route add default via fd00:0:0:1::1
}

# make_esp_peer NAME DIRECTORY: its router becomes the peer of a tunnel to the hub, by scapy's ESP behind a TUN device; SAs for
# `sekishoctl sa install` are in DIRECTORY/sas.json.
make_esp_peer() {
    local name=$1 directory=$2
    python3 - "$directory" "$(TZ=Asia/Tokyo date +%Y-%m-%dT%H:%M:%S+09:00)" <<'PYTHON'
import json, os, sys
directory, created = sys.argv[1:]
to_hub, to_peer = ({"spi": spi, "key": os.urandom(36).hex()} for spi in (4096, 4097))
json.dump({"sas": [{"tunnel": "kita-esp", "created": created, "inbound": to_hub, "outbound": to_peer}]},
          open(f"{directory}/sas.json", "w"))
json.dump({"interface": "esp0", "local": "192.0.2.2", "hub": "192.0.2.1", "esn": True, "open": [to_peer], "seal": to_hub},
          open(f"{directory}/peer.json", "w"))
PYTHON
    ip netns exec "$name" scripts/quickstart.d/esp-peer "$directory/peer.json" 2>"$directory/peer.log" &
    servers+=($!)
    local tries
    for tries in $(seq 100); do in_ns "$name" ip link show esp0 >/dev/null 2>&1 && break; sleep 0.1; done
    [ "$tries" -lt 100 ] || fail "the ESP peer did not start: $(cat "$directory/peer.log")"
    in_ns "$name" ip link set esp0 mtu 1446 up
    # What was for the hub goes into the tunnel now.
    in_ns "$name" ip route replace default dev esp0
    in_ns "$name" ip -6 route replace default dev esp0
}

# The provider uses its hub numbers natively, on the link to the hub.
make_provider() {
    ip link set sk-chuo netns chuo
    in_ns chuo ip address add 100.66.0.10/24 dev sk-chuo
    in_ns chuo ip address add 2001:db8:8003::10/64 dev sk-chuo
    in_ns chuo ip link set sk-chuo up
    in_ns chuo ip route add default via 100.66.0.1
    in_ns chuo ip route add default via 2001:db8:8003::1
}

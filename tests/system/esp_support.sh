# shellcheck shell=bash
# scapy's ESP as the peer of kita's tunnel, and SAs for it; sourced after support.sh. `peer` is its process, once it runs, peer_address
# its end of the tunnel; the test sets kita, its namespace.
# shellcheck disable=SC2034  # the tests'
peer='' peer_address=192.0.2.2

# keys NAME INBOUND-SPI: an install file, the peer's half of it, and the keys, hexadecimal, a line each.
created=
keys() {
    python3 - "$work" "$1" "$2" "$created" <<'PYTHON'
import json, os, sys
work, name, spi, created = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
inbound, outbound = ({"spi": spi + side, "key": os.urandom(36).hex()} for side in (0, 1))
json.dump({"sas": [{"tunnel": "kita-esp", "created": created, "inbound": inbound, "outbound": outbound}]},
          open(f"{work}/{name}.json", "w"))
with open(f"{work}/all-keys", "a") as all_keys:
    print(inbound["key"], outbound["key"], sep="\n", file=all_keys)
PYTHON
}
# peer_has SEALS OPENS…: the peer seals with one install file's SA and opens those of others.
peer_has() {
    python3 - "$work" "$peer_address" "$@" <<'PYTHON'
import json, sys
work, local, seals, *opens = sys.argv[1:]
sa = lambda name: json.load(open(f"{work}/{name}.json"))["sas"][0]
json.dump({"interface": "esp0", "local": local, "hub": "192.0.2.1", "esn": True,
           "open": [sa(name)["outbound"] for name in opens], "seal": sa(seals)["inbound"]}, open(f"{work}/peer.json", "w"))
PYTHON
    [ -z "$peer" ] || kill -HUP "$peer"
}
# start_peer MTU: the peer in the namespace $kita, with kita's host and the ways to hub space behind its TUN device.
start_peer() {
    ip netns exec "$kita" scripts/quickstart.d/esp-peer "$work/peer.json" "$work/record" 2>"$work/peer.log" &
    peer=$!
    for _ in $(seq 100); do ip -n "$kita" link show esp0 >/dev/null 2>&1 && break; sleep 0.1; done
    ip -n "$kita" address add 10.1.1.10/24 dev esp0
    ip -n "$kita" address add fd00:0:0:1::10/64 dev esp0 nodad
    ip -n "$kita" link set esp0 mtu "$1" up
    ip -n "$kita" route add 100.64.0.0/10 dev esp0
    ip -n "$kita" route add 2001:db8:8000::/33 dev esp0
}

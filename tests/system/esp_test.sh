#!/usr/bin/env bash
# A protected operator, end to end: its peer is scapy's ESP behind a TUN device. Traffic in both directions, no plain text on the
# line, a rekey under traffic without a loss, kill -9 and the same manual keys again without a nonce twice, a ledger that is
# lost, and no key in any file, log or core dump.
#
#   tests/system/esp_test.sh BUILD-DIR
#
# SEKISHO_TEST_REKEYS (1 unless it is set): how many times the SAs are replaced under traffic.
# Needs root; without what it needs it is skipped (77). Leaves nothing behind. [conformance-27] [conformance-28] [conformance-36]
set -euo pipefail
# shellcheck disable=SC2034  # support.sh reads it
tools="tcpdump"
# shellcheck source=tests/system/support.sh
source "$(dirname "$0")/support.sh"
# shellcheck source=tests/system/esp_support.sh
source tests/system/esp_support.sh
/usr/bin/python3 -c 'import scapy.layers.ipsec' 2>/dev/null || skip "there is no scapy"

kita=sk-e$$-kita minami=sk-e$$-minami
daemon='' dump=''

end() { [ -z "$1" ] || { kill "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }; }
clean_up() {
    end "$peer"; end "$dump"; end "$daemon"
    for space in "$kita" "$minami"; do ip netns delete "$space" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

in_kita() { ip netns exec "$kita" "$@"; }
in_minami() { ip netns exec "$minami" "$@"; }

# The hub's ports into the namespaces: TAP devices go and come with the daemon.
connect() {
    ip link set "ek$$" netns "$kita"
    in_kita ip address add 192.0.2.2/30 dev "ek$$"
    in_kita ip link set "ek$$" up
    ip link set "em$$" netns "$minami"
    in_minami ip address add 192.0.2.2/30 dev "em$$"
    in_minami ip address add 2001:db8:0:101::2/64 dev "em$$" nodad
    in_minami ip link set "em$$" up
    in_minami ip route add 100.64.0.0/10 via 192.0.2.1
    in_minami ip route add 2001:db8:8000::/33 via 2001:db8:0:101::1
}
start() {
    (cd "$work" && ulimit -c unlimited && exec "$build/control/sekishod" --socket "$socket" --state-dir "$work/state" --no-huge \
        --memory 256 --buffers 8192 --file-prefix "sk-esp-$$" --policy "$work/policy.json" --manual-keys local_ledger \
        --port "kita0=net_tap0,iface=ek$$" --port "minami0=net_tap1,iface=em$$" --port "chuo0=net_tap2,iface=ec$$") \
        >>"$work/sekishod.out" 2>>"$work/sekishod.log" &
    daemon=$!
    ctl wait-ready --timeout 30 >/dev/null || { cat "$work/sekishod.log"; exit 1; }
    connect
}

lossless() { grep -q ' 0% packet loss' "$1"; }
next_number() { ctl --json show sa | jq '.items[] | select(.state == "current") | .next_sequence'; }
state_of() { ctl --json show ledger | jq -r '.refused'; }
no_key_in() { python3 - "$work/all-keys" "$@" <<'PYTHON'
import os, sys
keys = [line.strip() for line in open(sys.argv[1])]
marks = [(key, half) for key in keys for half in (bytes.fromhex(key)[:16], bytes.fromhex(key)[16:32], key.encode()[:32], key.encode()[32:64], key.upper().encode()[:32])]
found = []
for path in sys.argv[2:]:
    for name in ([os.path.join(top, one) for top, _, files in os.walk(path) for one in files] if os.path.isdir(path) else [path]):
        content = open(name, "rb").read()
        found += [f"{name} has key {key[:6]}..." for key, mark in marks if mark in content]
print("\n".join(found))
sys.exit(1 if found else 0)
PYTHON
}

for space in "$kita" "$minami"; do
    ip netns add "$space"
    ip netns exec "$space" ip link set lo up
    ip netns exec "$space" sysctl -qw net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.router_solicitations=0
done
in_minami ip address add 10.1.1.10/32 dev lo
in_minami ip address add fd00:0:0:1::10/128 dev lo
cp docs/examples/protected.json "$work/policy.json"
start

echo "== A ledger, keys made after it, and SAs"
ctl ledger new
sleep 1.1
created=$(TZ=Asia/Tokyo date -d '-1 hour' +%Y-%m-%dT%H:%M:%S+09:00)
keys early 3000
created=$(TZ=Asia/Tokyo date +%Y-%m-%dT%H:%M:%S+09:00)
keys first 4096
keys second 5000
ctl sa install "$work/early.json" 2>"$work/refused" || true
check "a manual key from before the ledger is refused" grep -q "older than the ledger" "$work/refused"
peer_has first first
start_peer 1446
# watch_line FILE: until the daemon takes its TAP device with it.
watch_line() {
    end "$dump"
    ip netns exec "$kita" tcpdump -i "ek$$" -U -s 0 -w "$1" 2>/dev/null &
    dump=$!
    sleep 0.5
}
watch_line "$work/line.pcap"
check "without SAs nothing passes" bash -c "! ip netns exec $kita ping -c 2 -i 0.2 -W 1 100.65.1.10"
check "a pair of SAs is installed" ctl sa install "$work/first.json"

echo "== Traffic"
check "ping through the tunnel" in_kita ping -c 3 -i 0.2 -W 2 -p 5ec2e75ec2e7 100.65.1.10
check "ping through the tunnel, IPv6" in_kita ping -c 3 -i 0.2 -W 2 -p 5ec2e75ec2e7 2001:db8:8002:1::10
check "as long as the tunnel carries, and DF" in_kita ping -c 2 -i 0.2 -W 2 -s 1418 -M "do" 100.65.1.10
check "both SAs count what they carried" \
    sh -c "'$build/control/sekishoctl' --socket '$socket' --json show sa | jq -e '[.items[].packets] | all(. >= 8)'"
in_kita ip address add 10.9.9.9/32 dev lo
check "what the SA may not carry gets no answer" bash -c "! ip netns exec $kita ping -c 2 -i 0.2 -W 1 -I 10.9.9.9 100.65.1.10"
in_kita ip address del 10.9.9.9/32 dev lo
check "and the audit log has it" sh -c "jq -es '[.[] | select(.what == \"sa.selector_mismatch\")] | length == 1 and
    .[0].sa == \"kita-esp in 0x00001000\" and .[0].packet.source == \"10.9.9.9\" and .[0].packet.protocol == 1' '$work/state/audit.jsonl'"

rekeys=${SEKISHO_TEST_REKEYS:-1}
locked() { awk '/^VmLck/ { print $2 }' "/proc/$daemon/status"; }
megabytes() { awk '/^RssAnon/ { print int($2 / 1024) }' "/proc/$daemon/status"; }
# rekey FROM ITS-INBOUND-SPI TO ITS-INBOUND-SPI: as two gateways do it.
rekey() {
    ctl sa rekey "$work/$3.json" >/dev/null && peer_has "$3" "$1" "$3" && sleep 0.3 &&
        ctl sa switch kita-esp --outbound $(($4 + 1)) >/dev/null && sleep 0.3 &&
        ctl sa remove kita-esp --inbound "$2" >/dev/null && peer_has "$3" "$3"
}

echo "== Rekeys under traffic: $rekeys"
ip netns exec "$kita" ping -c $((170 + 80 * rekeys)) -i 0.02 -W 2 100.65.1.10 >"$work/rekey.ping" 2>&1 &
pinging=$!
sleep 1
from=first from_spi=4096 replaced=0 held='' memory=''
for n in $(seq $((rekeys - 1))); do
    keys "rekey$n" $((20000 + 2 * n))
    rekey "$from" $from_spi "rekey$n" $((20000 + 2 * n)) && replaced=$((replaced + 1))
    from=rekey$n from_spi=$((20000 + 2 * n))
    [ "$n" -ne 5 ] || { held=$(locked) memory=$(megabytes); }
done
if [ -n "$held" ]; then
    check "all but the last are replaced" [ $replaced -eq $((rekeys - 1)) ]
    check "keys that went left no memory locked: $held kB after 5, $(locked) kB now" [ "$(locked)" -eq "$held" ]
    check "nor other memory: $memory MB after 5, $(megabytes) MB now" [ "$(megabytes)" -le $((memory + 8)) ]
fi
check "the new inbound SA opens, the new outbound one waits" ctl sa rekey "$work/second.json"
peer_has second "$from" second
sleep 1
check "the hub switches" ctl sa switch kita-esp --outbound 5001
sleep 1
check "the old inbound SA goes" ctl sa remove kita-esp --inbound $from_spi
peer_has second second
wait $pinging || true
check "no packet was lost: $(tail -2 "$work/rekey.ping" | head -1)" lossless "$work/rekey.ping"
check "the new SAs carried it" sh -c "'$build/control/sekishoctl' --socket '$socket' --json show sa |
    jq -e '(.items | length) == 2 and ([.items[] | .spi] == [5000, 5001]) and ([.items[].packets] | all(. >= 50))'"

echo "== SAs that come and go"
before=$(locked)
for n in $(seq 30); do
    keys passing $((10000 + 2 * n))
    ctl sa rekey "$work/passing.json" >/dev/null
    ctl sa remove kita-esp --outbound $((10001 + 2 * n)) >/dev/null
    ctl sa remove kita-esp --inbound $((10000 + 2 * n)) >/dev/null
done
check "their keys die with them: $(($(locked) - before)) kB more for 60 keys, and 56 are one piece of memory" [ "$(locked)" -eq "$before" ]

echo "== kill -9 under traffic, and the same manual keys again"
ip netns exec "$kita" ping -i 0.01 -W 1 100.65.1.10 >/dev/null 2>&1 &
pinging=$!
sleep 1
before=$(next_number)
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || true
start
watch_line "$work/line2.pcap"
check "after the restart there are no SAs" sh -c "'$build/control/sekishoctl' --socket '$socket' --json show sa | jq -e '.items == []'"
check "and without them nothing passes" bash -c "! ip netns exec $kita ping -c 2 -i 0.2 -W 1 100.65.1.10"
check "the keys are taken again" ctl sa install "$work/second.json"
check "their numbers go on behind the reserve" [ "$(next_number)" -gt $((before + 1000)) ]
check "traffic goes on" in_kita ping -c 3 -i 0.2 -W 2 100.65.1.10
kill "$pinging" 2>/dev/null || true
wait "$pinging" 2>/dev/null || true
check "no key has sealed two packets with one IV" sh -c "[ \$(wc -l <'$work/record') -gt 300 ] && [ -z \"\$(cut -d' ' -f1,3 '$work/record' | sort | uniq -d)\" ]"

echo "== The line"
end "$dump"; dump=
for line in "$work/line.pcap" "$work/line2.pcap"; do
    check "ESP is on the line" sh -c "[ \$(tcpdump -n -r '$line' 'src host 192.0.2.1 and esp' 2>/dev/null | wc -l) -ge 3 ]"
    check "and nothing else but ARP, ND and ICMPv6 of the link (MLD behind a hop-by-hop header)" \
        sh -c "[ -z \"\$(tcpdump -n -r '$line' 'not esp and not arp and not icmp6 and not (ip6[6] == 0 and ip6[40] == 58)' 2>/dev/null)\" ]"
    check "no plain text of a ping is on it" sh -c "! LC_ALL=C grep -qaP '\x5e\xc2\xe7\x5e\xc2\xe7' '$line'"
done

echo "== Where keys must not be"
{ ctl --json show sa; ctl show sa; ctl show tunnels; ctl show ledger; } >"$work/shown"
nothing_found_in() { ! no_key_in "$@"; }
check "the search finds keys where they are" nothing_found_in "$work/second.json"
check "no key is in the log, the audit log, the state directory, nor in what is shown" no_key_in "$work/sekishod.log" "$work/sekishod.out" "$work/state" "$work/shown"
check "the audit log has every installation" sh -c "[ \$(grep -c '\"what\":\"sa\\.\\(install\\|rekey\\|switch\\|remove\\)\"' '$work/state/audit.jsonl') -eq $((92 + 3 * rekeys)) ]"
kill -ABRT "$daemon"
wait "$daemon" 2>/dev/null || true
daemon=
core=$(find "$work" -maxdepth 1 -name 'core*' | head -1)
if [ -n "$core" ]; then
    check "a core dump of the daemon, in which its tunnels are, has no key" no_key_in "$core"
    check "and is a whole one" grep -qa kita-esp "$core"
    rm -f "$core"
else
    echo "   not shown: the system writes core dumps elsewhere, or none"
fi

echo "== A ledger that is lost"
rm -f "$work/state/nonce-ledger"
start
check "manual keys are refused without it" bash -c "! '$build/control/sekishoctl' --socket '$socket' sa install '$work/second.json' 2>/dev/null"
check "and the reason is told" grep -q nonce-ledger <<<"$(state_of)"

[ $failures -eq 0 ] || { tail -20 "$work/sekishod.log" "$work/peer.log"; exit 1; }
echo "all as it should be"

#!/usr/bin/python3
"""The path against scapy: random packets of both families walk through path_filter, and what leaves is compared byte by
byte with what scapy builds from the beginning, every checksum computed afresh.

Called with the path of path_filter. Exits 77 when scapy is missing. Prints its seed; SEKISHO_SEED sets it.
"""
import ipaddress
import logging
import os
import random
import subprocess
import sys

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
try:
    from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
    from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6PacketTooBig,
                                    ICMPv6ParamProblem, ICMPv6TimeExceeded, IPv6, IPv6ExtHdrDestOpt,
                                    IPv6ExtHdrHopByHop, PadN)
    from scapy.packet import Raw
except ImportError as missing:
    print(f"SKIPPED: scapy: {missing}")
    sys.exit(77)

PACKETS = int(os.environ.get("SEKISHO_TEST_PACKETS", "600"))
SEED = int(os.environ.get("SEKISHO_SEED", random.SystemRandom().randrange(2**32)))
rng = random.Random(SEED)

# The standard policy of tests/dataplane/support/policy.hpp: operator space, hub space.
MAPS = {
    "kita": [("10.0.0.0/24", "100.64.0.0/24"), ("fd00:0:0:1::/64", "2001:db8:4000:1::/64")],
    "minami": [("10.0.0.0/24", "100.64.16.0/24"), ("fd00:0:0:1::/64", "2001:db8:4000:101::/64")],
    "portal": [("192.168.9.0/24", "100.64.2.0/24"), ("fd99::/64", "2001:db8:4000:201::/64")],
    "archive": [("100.64.3.0/24", "100.64.3.0/24"), ("2001:db8:4000:301::/64", "2001:db8:4000:301::/64")],
}
LINE = {"kita": "kita", "minami": "minami", "portal": "center", "archive": "center"}
PORT = {"kita": 0, "minami": 1, "center": 2}
TAGGED = {"minami"}
ROUTERS = {("kita", 4): "10.0.200.1", ("kita", 6): "fd00:0:0:200::1", ("minami", 4): "172.31.0.1",
           ("minami", 6): "fd00:0:0:200::1", ("center", 4): "172.31.0.1", ("center", 6): "fd00:0:0:200::1"}
HUB = {("kita", 4): "10.255.0.1", ("kita", 6): "fd00:ffff::1", ("minami", 4): "10.255.0.1",
       ("minami", 6): "fd00:ffff::1", ("center", 4): "192.168.9.1", ("center", 6): "fd99::1"}


class Station:
    """A host of an institution: its address in operator space (inside) and in hub space (hub)."""

    def __init__(self, house, version):
        inside, hub = (ipaddress.ip_network(text) for text in MAPS[house][version == 6])
        host = 9 if house == "portal" else rng.randrange(2, 250)
        self.house, self.line = house, LINE[house]
        self.inside, self.hub = str(inside[host]), str(hub[host])


def l4(client_to_service, service, protocol):
    """A random L4 header that an agreement between client and service covers, in that direction."""
    high = rng.randrange(1024, 65536)
    if protocol == "udp":
        low = 53 if service == "portal" else rng.randrange(1, 65536)
        layer = UDP(sport=high, dport=low) if client_to_service else UDP(sport=low, dport=high)
    elif protocol == "tcp":
        low = 443 if service == "portal" else rng.randrange(1, 65536)
        flags = rng.choice(["S", "A", "PA", "FA", "R"]) if client_to_service else rng.choice(["SA", "A", "PA", "R"])
        layer = TCP(sport=high, dport=low) if client_to_service else TCP(sport=low, dport=high)
        layer.flags, layer.seq, layer.ack = flags, rng.randrange(2**32), rng.randrange(2**32)
        if rng.random() < 0.3:
            layer.options = [("MSS", 1400), ("NOP", None), ("WScale", 7)]
    elif protocol == "echo4":
        layer = ICMP(type=8 if client_to_service else 0, id=rng.randrange(2**16), seq=rng.randrange(2**16))
    else:
        kind = ICMPv6EchoRequest if client_to_service else ICMPv6EchoReply
        layer = kind(id=rng.randrange(2**16), seq=rng.randrange(2**16))
    return layer


def header(version, source, destination, fields):
    if version == 4:
        return IP(src=source, dst=destination, flags="DF", **fields["ip"])
    packet = IPv6(src=source, dst=destination, **fields["ip"])
    for extension in fields["extensions"]:
        packet = packet / extension.copy()
    return packet


def random_fields(version):
    if version == 4:
        ip = {"ttl": rng.randrange(2, 256), "tos": rng.randrange(256), "id": rng.randrange(2**16)}
        if rng.random() < 0.2:
            ip["options"] = [IPOption(b"\x94\x04\x00\x00")]
        return {"ip": ip, "extensions": []}
    ip = {"hlim": rng.randrange(2, 256), "tc": rng.randrange(256), "fl": rng.randrange(2**20)}
    chain = [IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]), IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 12)])]
    return {"ip": ip, "extensions": [layer for layer in chain if rng.random() < 0.2]}


def one_hop_less(fields):
    ip = dict(fields["ip"])
    ip["ttl" if "ttl" in ip else "hlim"] -= 1
    return {**fields, "ip": ip}


def conversation():
    """Client, service, a direction and a protocol that their agreement covers."""
    version = rng.choice([4, 6])
    client = rng.choice(["kita", "minami"])
    service = rng.choice(["portal", "archive"]) if client == "kita" else "portal"
    protocols = ["udp", "tcp", f"echo{version}"] if client == "kita" else ["udp", "tcp"]
    return version, Station(client, version), Station(service, version), rng.random() < 0.5, rng.choice(protocols)


def a_packet():
    version, client, service, forward, protocol = conversation()
    source, destination = (client, service) if forward else (service, client)
    fields, layer = random_fields(version), l4(forward, service.house, protocol)
    payload = Raw(rng.randbytes(rng.choice([0, 1, 2, 5, 40, 333, 1300])))
    if protocol == "udp" and version == 4 and rng.random() < 0.2:
        layer.chksum = 0
    sent = header(version, source.inside, destination.hub, fields) / layer.copy() / payload
    expected = header(version, source.hub, destination.inside, one_hop_less(fields)) / layer.copy() / payload
    return source.line, sent, destination.line, expected


def error_layer(version):
    if version == 4:
        kind = rng.choice([(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0)])
        layer = ICMP(type=kind[0], code=kind[1])
        if kind == (3, 4):
            layer.nexthopmtu = rng.randrange(576, 1500)
        return layer
    return rng.choice([ICMPv6DestUnreach(code=rng.randrange(7)), ICMPv6TimeExceeded(code=rng.randrange(2)),
                       ICMPv6PacketTooBig(mtu=rng.randrange(1280, 1500)), ICMPv6ParamProblem(code=1, ptr=6)])


def an_error():
    version, client, service, forward, protocol = conversation()
    sender, receiver = (client, service) if forward else (service, client)
    fields, layer = random_fields(version), l4(forward, service.house, protocol)
    payload = Raw(rng.randbytes(rng.choice([0, 7, 40, 700])))
    delivered = bytes(header(version, sender.hub, receiver.inside, fields) / layer.copy() / payload)
    as_sent = bytes(header(version, sender.inside, receiver.hub, fields) / layer.copy() / payload)
    l4_at = len(delivered) - len(bytes(layer)) - len(payload)
    shortest = l4_at + (18 if protocol == "tcp" else 8)  # half of a checksum cannot be compared
    length = rng.choice([l4_at + 8, rng.randrange(shortest, len(delivered) + 1), len(delivered)])
    by_router = rng.random() < 0.5
    reporter = ROUTERS[receiver.line, version] if by_router else receiver.inside
    outer, error = random_fields(version), error_layer(version)
    sent = header(version, reporter, sender.hub, outer) / error.copy() / Raw(delivered[:length])
    expected = header(version, receiver.hub, sender.inside, one_hop_less(outer)) / error.copy() / Raw(as_sent[:length])
    return receiver.line, sent, sender.line, expected


def a_late_packet():
    """Its TTL ends at the hub: the error quotes it as it was sent."""
    version, client, service, forward, protocol = conversation()
    source, destination = (client, service) if forward else (service, client)
    fields = random_fields(version)
    fields["ip"]["ttl" if version == 4 else "hlim"] = rng.randrange(2)
    payload = Raw(rng.randbytes(rng.choice([3, 600, 1300])))
    sent = header(version, source.inside, destination.hub, fields) / l4(forward, service.house, protocol) / payload
    quote = bytes(sent)[:548 if version == 4 else 1232]
    if version == 4:
        expected = IP(src=HUB[source.line, 4], dst=source.inside, tos=0xc0, ttl=64) / ICMP(type=11) / Raw(quote)
    else:
        expected = IPv6(src=HUB[source.line, 6], dst=source.inside, hlim=64) / ICMPv6TimeExceeded() / Raw(quote)
    return source.line, sent, source.line, expected


def ip_of(frame, line):
    link = 18 if line in TAGGED else 14
    return frame[link:]


def main():
    print(f"scapy: SEKISHO_SEED={SEED}, {PACKETS} packets")
    cases = [rng.choices([a_packet, an_error, a_late_packet], [6, 4, 1])[0]() for _ in range(PACKETS)]
    text = "".join(f"{line} {bytes(sent).hex()}\n" for line, sent, _, _ in cases)
    done = subprocess.run([sys.argv[1], "filter*"], input=text, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        print(done.stderr)
        return 77
    answers = [line for line in done.stdout.splitlines() if line.startswith("> ")]
    wrong = 0
    if done.returncode != 0 or len(answers) != len(cases):
        print(done.stdout[-2000:], done.stderr[-2000:], f"path_filter: exit {done.returncode}, {len(answers)} answers")
        return 1
    for (line, sent, leaves_by, expected), answer in zip(cases, answers):
        frames = [word.split(":") for word in answer.split()[2:]]
        got = ip_of(bytes.fromhex(frames[0][1]), leaves_by) if len(frames) == 1 else None
        want = bytes(expected)
        if got is not None and isinstance(expected, IP) and expected.tos == 0xc0 and expected.ttl == 64:
            expected.id = int.from_bytes(got[4:6], "big")  # the hub's own counter
            want = bytes(expected)
        if len(frames) == 1 and int(frames[0][0]) == PORT[leaves_by] and got == want:
            continue
        wrong += 1
        print(f"by {line}: {bytes(sent).hex()}\n  wanted by {leaves_by}: {want.hex()}\n  answer {answer}\n")
    print(f"scapy: {len(cases) - wrong} of {len(cases)} as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

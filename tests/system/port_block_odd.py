"""Odd packets from behind a port block, sent with scapy; what arrives outside is read from a capture.

    port_block_odd.py send DEVICE OUR-MAC HUB-MAC | check CAPTURE

Sent from 10.2.1.7 to 100.66.0.10 by way of the hub. No session is opened by what may not open one, and what passes is
as it was but for addresses, ports, TTL and checksums.
"""
import sys

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, UDPerror, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.sendrecv import sendp
from scapy.utils import rdpcap

HOST, SERVER = "10.2.1.7", "100.66.0.10"


def udp(source_port, load=b"", **fields):
    return IP(src=HOST, dst=SERVER, flags="DF") / UDP(sport=source_port, dport=5000, **fields) / Raw(load)


def odd():
    # Pass, each under another mark in its payload.
    yield udp(7001, b"no checksum", chksum=0)
    yield udp(7002)  # nothing in it
    yield IP(src=HOST, dst=SERVER, tos=0xFF, id=0) / UDP(sport=7003, dport=5000) / Raw(b"all TOS bits")
    whole = IP(src=HOST, dst=SERVER, id=77) / UDP(sport=7004, dport=5000) / Raw(b"in pieces" + bytes(3000))
    yield from reversed(fragment(whole, fragsize=1000))
    # Do not: no session, or none that there can be.
    for flags in ("A", "F", "SA", "SF", "FPU", "R", ""):
        yield IP(src=HOST, dst=SERVER) / TCP(sport=7100, dport=443, flags=flags)
    yield IP(src=HOST, dst=SERVER) / ICMP(type=13)
    yield IP(src=HOST, dst=SERVER) / ICMP(type=0, id=9)  # a reply that nobody asked for
    yield IP(src=HOST, dst=SERVER) / ICMP(type=3, code=3) / IPerror(src=SERVER, dst=HOST) / UDPerror(sport=5000, dport=7999)
    yield IP(src=HOST, dst=SERVER) / ICMP(type=3, code=3) / Raw(b"\x45 garbage, not a packet")
    yield IP(src=HOST, dst=SERVER, proto=47) / Raw(bytes(40))
    pieces = fragment(IP(src=HOST, dst=SERVER, id=78) / UDP(sport=7005, dport=5000) / Raw(bytes(3000)), fragsize=1000)
    pieces[1][IP].frag -= 10  # overlaps the first
    yield from pieces[:2]


def check(packets):
    seen = [packet for packet in packets if IP in packet and packet[IP].dst == SERVER]
    marks = {bytes(packet[UDP].payload): packet for packet in seen if UDP in packet and packet[IP].frag == 0}
    assert b"no checksum" in marks and marks[b"no checksum"][UDP].chksum == 0, "a checksum of 0 is none, and stays so"
    assert marks[b"no checksum"][IP].flags.DF
    assert b"" in marks, "an empty datagram"
    assert marks[b"all TOS bits"][IP].tos == 0xFF and marks[b"all TOS bits"][IP].id == 0
    pieces = [packet for packet in seen if packet[IP].id == 77]
    assert len(pieces) >= 4, f"{len(pieces)} fragments"
    assert [packet for packet in pieces if packet[IP].frag != 0]
    for packet in seen:
        assert packet[IP].src.startswith("100.64.200."), packet[IP].src
        assert TCP not in packet and packet[IP].proto != 47, packet.summary()
        if UDP in packet and packet[IP].frag == 0:
            assert packet[UDP].sport >= 1024 and packet[UDP].sport not in range(7001, 7006), packet.summary()
        if ICMP in packet:
            assert packet[ICMP].type == 8, packet.summary()
        if packet[IP].frag == 0 and not packet[IP].flags.MF:
            right = IP(bytes(packet[IP]))
            del right[IP].chksum
            if UDP in right and right[UDP].chksum != 0:
                del right[UDP].chksum
            assert bytes(IP(bytes(right)))[:28] == bytes(packet[IP])[:28], packet.summary()


if sys.argv[1] == "send":
    DEVICE, SOURCE, HUB = sys.argv[2:]
    for one in odd():
        sendp(Ether(src=SOURCE, dst=HUB) / one, iface=DEVICE, verbose=False)
else:
    check(rdpcap(sys.argv[2]))

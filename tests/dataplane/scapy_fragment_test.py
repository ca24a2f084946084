#!/usr/bin/python3
"""Fragments against scapy: random datagrams that scapy cuts walk through path_filter in any order, and what leaves is put
together by scapy and compared with the translated datagram; packets too long for their way leave as scapy would cut them.

Called with the path of path_filter. Exits 77 when scapy is missing. Prints its seed; SEKISHO_SEED sets it.
"""
import os
import subprocess
import sys

sys.dont_write_bytecode = True
from scapy_test import PORT, Station, conversation, ip_of, l4, one_hop_less, random_fields, rng, SEED
from scapy.layers.inet import IP, defragment, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, defragment6, fragment6
from scapy.packet import Raw

DATAGRAMS = int(os.environ.get("SEKISHO_TEST_PACKETS", "300"))
MTU = 1500
MOST = 8  # fragments of a datagram: path_filter lets a tenth of a second pass before each


def header(version, source, destination, fields):
    return (IP if version == 4 else IPv6)(src=source, dst=destination, **fields["ip"])


def a_datagram():
    """Cut by its sender, and shuffled."""
    version, client, service, forward, protocol = conversation()
    source, destination = (client, service) if forward else (service, client)
    fields, layer = {**random_fields(version), "extensions": []}, l4(forward, service.house, protocol)
    fields["ip"].pop("options", None)
    if protocol == "tcp":
        layer.flags = "A"  # the MSS of a SYN may be clamped
    size = 8 * rng.randrange(8, 181)
    payload = Raw(rng.randbytes(rng.randrange(size, MOST * size - 100)))
    whole = header(version, source.inside, destination.hub, fields)
    expected = bytes(header(version, source.hub, destination.inside, one_hop_less(fields)) / layer.copy() / payload)
    if version == 4:
        parts = [bytes(part) for part in fragment(whole / layer.copy() / payload, fragsize=size)]
    else:
        marked = bytes(whole / IPv6ExtHdrFragment(id=rng.randrange(2**32)) / layer.copy() / payload)
        parts = [bytes(part) for part in fragment6(IPv6(marked), size + 48)]
    rng.shuffle(parts)
    return source.line, parts, destination.line, None, expected


def a_long_packet():
    """IPv4 without DF, longer than the MTU of its way out."""
    version, client, service, forward, _ = conversation()
    if version == 6:
        client, service = Station(client.house, 4), Station(service.house, 4)
    source, destination = (client, service) if forward else (service, client)
    fields, layer = random_fields(4), l4(forward, service.house, "udp")
    fields["ip"].pop("options", None)
    payload = Raw(rng.randbytes(rng.randrange(MTU - 27, 8900)))
    sent = bytes(header(4, source.inside, destination.hub, fields) / layer.copy() / payload)
    whole = header(4, source.hub, destination.inside, one_hop_less(fields)) / layer.copy() / payload
    return source.line, [sent], destination.line, [bytes(part) for part in fragment(whole, fragsize=1480)], bytes(whole)


def together(packets):
    """What scapy puts together of these IP packets."""
    if packets[0][0] >> 4 == 4:
        whole = defragment([IP(packet) for packet in packets])
        if len(whole) != 1:
            return None
        whole = IP(bytes(whole[0]))
        whole.flags, whole.frag, whole.len, whole.chksum = 0, 0, None, None
        return bytes(whole)
    parts = sorted((IPv6(packet) for packet in packets), key=lambda part: part[IPv6ExtHdrFragment].offset)
    whole = defragment6(parts)  # it wants them in order
    whole.plen = None
    return bytes(whole)


def main():
    print(f"scapy fragments: SEKISHO_SEED={SEED}, {DATAGRAMS} datagrams")
    cases = [rng.choices([a_datagram, a_long_packet], [3, 1])[0]() for _ in range(DATAGRAMS)]
    text = "".join(f"{line} {part.hex()}\n" for line, parts, *_ in cases for part in parts)
    done = subprocess.run([sys.argv[1], "filter*"], input=text, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        print(done.stderr)
        return 77
    answers = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("> ")]
    if done.returncode != 0 or len(answers) != sum(len(parts) for _, parts, *_ in cases):
        print(done.stdout[-2000:], done.stderr[-2000:], f"path_filter: exit {done.returncode}, {len(answers)} answers")
        return 1
    wrong, pieces = 0, 0
    for line, parts, leaves_by, cut, whole in cases:
        mine, answers = answers[:len(parts)], answers[len(parts):]
        frames = [frame.split(":") for reasons, *words in mine for frame in words]
        packets = [ip_of(bytes.fromhex(frame), leaves_by) for _, frame in frames]
        pieces += len(packets)
        right = packets and all(int(port) == PORT[leaves_by] for port, _ in frames) and all(a[0] == "-" for a in mine)
        right = right and (packets == cut if cut else len(packets) == len(parts)) and together(packets) == whole
        if right:
            continue
        wrong += 1
        print(f"by {line}: {[part.hex() for part in parts]}\n  wanted by {leaves_by}: {whole.hex()}\n  answers {mine}\n")
    print(f"scapy fragments: {len(cases) - wrong} of {len(cases)} as expected, in {pieces} pieces")
    return 1 if wrong or pieces < 2 * len(cases) else 0


sys.exit(main())

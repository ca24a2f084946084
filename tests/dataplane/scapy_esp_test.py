#!/usr/bin/python3
"""ESP through the whole path against scapy: what scapy seals is opened, translated and forwarded as scapy would have it; what the
path seals scapy opens, and finds the packet that it expects. All suites, ESN, families outside and inside, plain and in UDP.

Called with the path of path_filter. Exits 77 when scapy is missing. Prints its seed; SEKISHO_SEED sets it.
"""
import itertools
import logging
import os
import random
import subprocess
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
try:
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.ipsec import ESP, SecurityAssociation
    from scapy.packet import Raw
except ImportError as missing:
    print(f"SKIPPED: scapy: {missing}")
    sys.exit(77)

PACKETS = int(os.environ.get("SEKISHO_TEST_PACKETS", "10"))  # of each combination, in each direction
SEED = int(os.environ.get("SEKISHO_SEED", random.SystemRandom().randrange(2**32)))
rng = random.Random(SEED)

# tests/dataplane/support/protected.hpp: operator space, hub space.
OUTER = {4: ("203.0.113.1", "198.51.100.9"), 6: ("2001:db8:99::1", "2001:db8:77::9")}
HIGASHI = {4: ("10.0.0.{}", "100.64.32.{}"), 6: ("fd00:0:0:1::{:x}", "2001:db8:4000:401::{:x}")}
KITA = {4: ("10.0.0.{}", "100.64.0.{}"), 6: ("fd00:0:0:1::{:x}", "2001:db8:4000:1::{:x}")}
PORTAL = {4: ("192.168.9.9", "100.64.2.9"), 6: ("fd99::9", "2001:db8:4000:201::9")}
SPI_IN, SPI_OUT = 0xABCD01, 0xABCD02


class Combination:
    def __init__(self, suite, esn, outer, inner, in_udp):
        self.suite, self.esn, self.outer, self.inner, self.in_udp = suite, esn, outer, inner, in_udp
        self.key = rng.randbytes(int(suite[-3:]) // 8 + 4)
        self.start = (1 << 32) - PACKETS // 2 if esn else 1  # across a turn of the low half

    def setting(self):
        return f"sa {self.suite} {int(self.esn)} {self.outer} {self.key.hex()} {SPI_IN} {SPI_OUT} {self.start} {int(self.in_udp)}"

    def association(self, sequence, from_hub):
        hub, peer = OUTER[self.outer]
        source, destination = (hub, peer) if from_hub else (peer, hub)
        return SecurityAssociation(ESP, spi=SPI_OUT if from_hub else SPI_IN, crypt_algo="AES-GCM", crypt_key=self.key, esn_en=self.esn,
                                   esn=sequence >> 32, tunnel_header=(IP if self.outer == 4 else IPv6)(src=source, dst=destination),
                                   nat_t_header=UDP(sport=4500, dport=4500) if self.in_udp else None)

    def ip(self, source, destination, hops, marks):
        if self.inner == 4:
            return IP(src=source, dst=destination, ttl=hops, tos=marks, flags="DF", id=7)
        return IPv6(src=source, dst=destination, hlim=hops, tc=marks)


def contents(service):
    port = rng.randrange(1024, 65536)
    layer = UDP(sport=port, dport=53 if service else rng.randrange(1, 65536)) if rng.random() < 0.5 else \
        TCP(sport=port, dport=443 if service else rng.randrange(1, 65536), flags="PA", seq=rng.randrange(2**32))
    return layer / Raw(rng.randbytes(rng.randrange(0, 1300)))


def inbound(combination, sequence):
    """A question of higashi's to the portal, sealed by scapy."""
    host, hops, marks = rng.randrange(2, 250), rng.randrange(2, 256), rng.randrange(64) << 2
    inside, hub = (text.format(host) for text in HIGASHI[combination.inner])
    service, service_hub = PORTAL[combination.inner]
    what = contents(True)
    packet = combination.ip(inside, service_hub, hops, marks) / what.copy()
    sealed = combination.association(sequence, False).encrypt(packet, seq_num=sequence & 0xFFFFFFFF, iv=rng.randbytes(8))
    if combination.in_udp:
        del sealed[UDP].len  # scapy has reckoned it before there was any ESP
        if combination.outer == 6:
            del sealed[UDP].chksum
    expected = combination.ip(hub, service, hops - 1, marks) / what.copy()
    return f"higashi-line {bytes(sealed).hex()}", ("2", lambda ip: bytes(ip) == bytes(expected))


def outbound(combination, sequence):
    """A packet of kita's for higashi, which scapy opens."""
    host, hops, marks = rng.randrange(2, 250), rng.randrange(2, 256), rng.randrange(64) << 2
    inside, hub = (text.format(host) for text in KITA[combination.inner])
    theirs, theirs_hub = (text.format(7) for text in HIGASHI[combination.inner])
    what = contents(False)
    packet = combination.ip(inside, theirs_hub, hops, marks) / what.copy()
    expected = bytes(combination.ip(hub, theirs, hops - 1, marks) / what.copy())

    def is_right(ip):
        outer = (IP if combination.outer == 4 else IPv6)(ip)
        ends = (outer.src, outer.dst)
        if ends != OUTER[combination.outer] or (UDP in outer) != combination.in_udp or outer[ESP].seq != sequence & 0xFFFFFFFF:
            return False
        rebuilt = outer.copy()
        if combination.outer == 4:
            del rebuilt.chksum, rebuilt.len
        else:
            del rebuilt.plen
        if combination.in_udp:
            del rebuilt[UDP].len
            if combination.outer == 6:
                del rebuilt[UDP].chksum
            elif rebuilt[UDP].chksum != 0:
                return False
        if bytes(rebuilt) != ip:  # scapy's own idea of lengths and checksum
            return False
        return bytes(combination.association(sequence, True).decrypt(outer)) == expected

    return f"kita {bytes(packet).hex()}", ("3", is_right)


def main():
    print(f"scapy ESP: SEKISHO_SEED={SEED}")
    lines, wanted = [], []
    for chosen in itertools.product(["aes_gcm_128", "aes_gcm_256"], [False, True], [4, 6], [4, 6], [False, True]):
        combination = Combination(*chosen)
        lines.append(combination.setting())
        turns = [(inbound, 1 << 31)] if combination.esn else []  # halfway, so that the next number is understood
        turns += [(make, combination.start + i) for i in range(PACKETS) for make in (inbound, outbound)]
        for make, sequence in turns:
            if make is inbound and sequence & 0xFFFFFFFF == 0:
                continue  # scapy takes 0 for "not given"
            line, want = make(combination, sequence)
            lines.append(line)
            wanted.append((line, want))
    done = subprocess.run([sys.argv[1], "esp filter*"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if done.returncode == 77:
        print(done.stderr)
        return 77
    answers = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("> ")]
    if done.returncode != 0 or len(answers) != len(wanted):
        print(done.stdout[-2000:], done.stderr[-2000:], f"path_filter: exit {done.returncode}, {len(answers)} answers of {len(wanted)}")
        return 1
    wrong = 0
    for (line, (port, is_right)), answer in zip(wanted, answers):
        right = len(answer) == 2 and answer[0] == "-" and answer[1].startswith(port + ":")
        if right:
            frame = bytes.fromhex(answer[1].split(":")[1])
            right = is_right(frame[18 if frame[12:14] == b"\x81\x00" else 14:])
        if not right:
            wrong += 1
            print(f"{line}\n  answer {answer}\n")
    print(f"scapy ESP: {len(wanted) - wrong} of {len(wanted)} as expected")
    return 1 if wrong else 0


sys.exit(main())

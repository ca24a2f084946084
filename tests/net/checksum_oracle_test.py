"""Checksums against scapy: net/checksum.hpp, asked through the checksum_answers program, must say what scapy says.

Called as: checksum_oracle_test.py PATH-OF-checksum_answers
"""
import ipaddress
import logging
import os
import random
import subprocess
import sys
import unittest

logging.getLogger("scapy").setLevel(logging.ERROR)
try:
    from scapy.layers.inet import ICMP, IP, TCP, UDP
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
    from scapy.utils import checksum
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(77)

ANSWERS = sys.argv.pop(1)
SEED = int(os.environ.get("SEKISHO_SEED", random.SystemRandom().getrandbits(32)))
ROUNDS = 300


def ask(questions):
    """The answers of the program under test, as numbers."""
    run = subprocess.run([ANSWERS], input="\n".join(questions) + "\n", capture_output=True, text=True, check=True)
    return [int(line, 16) for line in run.stdout.split()]


def hex_of(data):
    return bytes(data).hex() or "-"


def with_checksums(packet):
    """The packet with every length and checksum filled in by scapy."""
    return packet.__class__(bytes(packet))


class ChecksumOracle(unittest.TestCase):
    def setUp(self):
        self.random = random.Random(SEED)

    def bytes(self, length):
        return self.random.randbytes(length)

    def address(self, cls):
        kind, size = (ipaddress.IPv4Address, 4) if cls is IP else (ipaddress.IPv6Address, 16)
        return str(kind(self.bytes(size)))

    def packet(self, cls):
        """A random packet over IPv4 or IPv6, and the name that scapy gives its L4 checksum."""
        port = self.random.getrandbits(16)
        echo = ICMP() if cls is IP else ICMPv6EchoRequest()
        layer4, field = self.random.choice([(TCP(sport=port, dport=443, seq=self.random.getrandbits(32)), "chksum"),
                                            (UDP(sport=port, dport=53), "chksum"),
                                            (echo, "chksum" if cls is IP else "cksum")])
        packet = cls(src=self.address(cls), dst=self.address(cls)) / layer4 / self.bytes(self.random.randrange(90))
        return with_checksums(packet), field

    def test_whole_checksums_are_those_of_scapy(self):
        samples = [self.bytes(length) for length in range(0, ROUNDS)]
        self.assertEqual(ask(["whole " + hex_of(sample) for sample in samples]),
                         [checksum(sample) for sample in samples])

    def test_checksums_over_a_pseudo_header_are_those_of_scapy(self):
        questions, answers = [], []
        for _ in range(ROUNDS):
            cls = self.random.choice([IP, IPv6])
            packet, field = self.packet(cls)
            layer4 = packet.payload
            if isinstance(layer4, ICMP):
                continue  # the only one without a pseudo-header
            answers.append(getattr(layer4, field) % 0xffff)
            raw = bytearray(bytes(layer4))
            at = {TCP: 16, UDP: 6}.get(type(layer4), 2)
            raw[at:at + 2] = b"\0\0"
            protocol = packet.proto if cls is IP else packet.nh
            source, destination = self.raw_addresses(packet)
            questions.append(f"pseudo {hex_of(source)} {hex_of(destination)} {protocol} {hex_of(raw)}")
        # UDP writes 0000 as ffff: modulo ffff they are one.
        self.assertEqual([answer % 0xffff for answer in ask(questions)], answers)

    @staticmethod
    def raw_addresses(packet):
        raw = bytes(packet)
        return (raw[12:16], raw[16:20]) if isinstance(packet, IP) else (raw[8:24], raw[24:40])

    def test_deltas_of_a_translated_packet_give_what_scapy_recomputes(self):
        questions, answers = [], []
        for _ in range(ROUNDS):
            cls = self.random.choice([IP, IPv6])
            packet, field = self.packet(cls)
            translated = packet.copy()
            translated.src = self.address(cls)
            translated.dst = self.address(cls)
            delattr(translated.payload, field)
            pairs = list(zip(self.raw_addresses(packet), self.raw_addresses(translated)))
            if isinstance(packet.payload, (TCP, UDP)):
                translated.payload.sport = self.random.getrandbits(16)
                pairs.append((bytes(packet.payload)[0:2], bytes(translated.payload)[0:2]))
            elif isinstance(packet.payload, ICMP):
                pairs = []  # no pseudo-header: the addresses do not matter
            recomputed = with_checksums(translated)
            answers.append(getattr(recomputed.payload, field) % 0xffff)
            words = " ".join(f"{before.hex()} {after.hex()}" for before, after in pairs)
            questions.append(f"delta {getattr(packet.payload, field):04x} {words}")
        self.assertEqual([answer % 0xffff for answer in ask(questions)], answers)

    def test_the_delta_of_an_ipv4_header_gives_what_scapy_recomputes(self):
        questions, answers = [], []
        for _ in range(ROUNDS):
            packet = with_checksums(IP(src=self.address(IP), dst=self.address(IP), ttl=self.random.randrange(2, 256)))
            translated = packet.copy()
            translated.src = self.address(IP)
            translated.ttl -= 1
            del translated.chksum
            recomputed = with_checksums(translated)
            before, after = bytes(packet), bytes(recomputed)
            questions.append(f"delta {packet.chksum:04x} {before[12:16].hex()} {after[12:16].hex()} "
                             f"{before[8:10].hex()} {after[8:10].hex()}")
            answers.append(recomputed.chksum)
        self.assertEqual(ask(questions), answers)


if __name__ == "__main__":
    print(f"checksum oracle: SEKISHO_SEED={SEED}", flush=True)
    unittest.main(verbosity=2)

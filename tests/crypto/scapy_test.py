"""ESP against scapy, as a real peer: what we seal scapy opens, what scapy seals we open, both to the byte.

AES-GCM of both lengths, with and without ESN, all four pairs of outer and inner family, over 2^32 too.
Called with the path of esp_peer. Exits 77 when scapy is missing. Prints its seed; SEKISHO_SEED sets it.
"""
import itertools
import logging
import os
import random
import struct
import subprocess
import sys
import unittest

logging.getLogger("scapy").setLevel(logging.ERROR)
try:
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.ipsec import ESP, IPSecIntegrityError, SecurityAssociation
    from scapy.packet import Raw
except ImportError as missing:
    print(f"SKIPPED: scapy: {missing}")
    sys.exit(77)

PEER = sys.argv.pop(1)
SEED = int(os.environ.get("SEKISHO_SEED", random.SystemRandom().getrandbits(32)))
SPI = 0xABCD01
PACKETS = 12  # of each combination, in each direction

COMBINATIONS = list(itertools.product(["aes_gcm_128", "aes_gcm_256"], [False, True], [4, 6], [4, 6]))


class Peer:
    """esp_peer, asked many questions in one run."""

    def __init__(self):
        self.questions = []

    def sa(self, suite, esn, outer, key, sequence):
        self.questions.append(f"sa {suite} {int(esn)} {outer} {key.hex()} {sequence}")

    def ask(self, verb, packet):
        self.questions.append(f"{verb} {bytes(packet).hex()}")

    def answers(self):
        run = subprocess.run([PEER], input="\n".join(self.questions) + "\n", capture_output=True, text=True, check=True)
        return run.stdout.split("\n")[:-1]


class Tunnel:
    """One combination: its key, the addresses, and scapy's end of it."""

    def __init__(self, rng, suite, esn, outer, inner):
        self.rng, self.suite, self.esn, self.outer, self.inner = rng, suite, esn, outer, inner
        self.key = rng.randbytes(int(suite[-3:]) // 8 + 4)
        # Far enough from the first turn that the peer may be at either side of 2^32.
        self.start = (1 << 32) - PACKETS // 2 if esn else 1

    def association(self, sequence, from_us):
        ends = ("192.0.2.1", "198.51.100.2") if self.outer == 4 else ("2001:db8::1", "2001:db8:1::2")
        source, destination = ends if from_us else ends[::-1]
        header = (IP if self.outer == 4 else IPv6)(src=source, dst=destination)
        return SecurityAssociation(ESP, spi=SPI, crypt_algo="AES-GCM", crypt_key=self.key, tunnel_header=header,
                                   esn_en=self.esn, esn=sequence >> 32)

    def packet(self):
        ip = IP(src="10.1.0.7", dst="10.2.0.9", tos=self.rng.randrange(64) << 2, flags=self.rng.choice(["", "DF"])) \
            if self.inner == 4 else IPv6(src="fd00:1::7", dst="fd00:2::9", tc=self.rng.randrange(64) << 2)
        layer4 = self.rng.choice([UDP(sport=4000, dport=53), TCP(sport=4000, dport=443, flags="PA")])
        return ip / layer4 / Raw(self.rng.randbytes(self.rng.randrange(0, 1300)))


class EspOracle(unittest.TestCase):
    def setUp(self):
        self.random = random.Random(SEED)

    def test_scapy_opens_what_we_seal(self):
        peer, expected = Peer(), []
        for combination in COMBINATIONS:
            tunnel = Tunnel(self.random, *combination)
            peer.sa(tunnel.suite, tunnel.esn, tunnel.outer, tunnel.key, tunnel.start)
            for i in range(PACKETS):
                packet = tunnel.packet()
                peer.ask("seal", packet)
                expected.append((tunnel, tunnel.start + i, bytes(packet)))
        answers = peer.answers()
        self.assertEqual(len(answers), len(expected))
        for answer, (tunnel, sequence, plain) in zip(answers, expected):
            raw = bytes.fromhex(answer)
            outer = (IP if tunnel.outer == 4 else IPv6)(raw)
            self.assertEqual(outer[ESP].seq, sequence & 0xFFFFFFFF)
            if tunnel.outer == 4:  # scapy's own idea of length and checksum
                rebuilt = outer.copy()
                del rebuilt.chksum, rebuilt.len
                self.assertEqual(bytes(rebuilt), raw)
            else:
                self.assertEqual(outer.plen, len(raw) - 40)
            mark = outer.tos if tunnel.outer == 4 else outer.tc
            inner = (IP if tunnel.inner == 4 else IPv6)(plain)
            self.assertEqual(mark, inner.tos if tunnel.inner == 4 else inner.tc)
            opened = tunnel.association(sequence, True).decrypt(outer)
            self.assertEqual(bytes(opened), plain)

    def test_we_open_what_scapy_seals(self):
        peer, expected = Peer(), []
        for combination in COMBINATIONS:
            tunnel = Tunnel(self.random, *combination)
            peer.sa(tunnel.suite, tunnel.esn, tunnel.outer, tunnel.key, tunnel.start)
            for i in self.random.sample(range(PACKETS), PACKETS):
                sequence = tunnel.start + i
                low = sequence & 0xFFFFFFFF
                if low == 0:
                    continue  # scapy takes 0 for "not given"
                packet = tunnel.packet()
                sealed = tunnel.association(sequence, False).encrypt(packet, seq_num=low, iv=self.random.randbytes(8))
                peer.ask("open", sealed)
                expected.append(bytes(packet).hex())
                peer.ask("open", sealed)
                expected.append("dropped replay_duplicate")
        self.assertEqual(peer.answers(), expected)

    def test_what_scapy_seals_with_another_key_or_high_half_is_refused(self):
        peer, expected = Peer(), []
        for combination in COMBINATIONS:
            tunnel = Tunnel(self.random, *combination)
            peer.sa(tunnel.suite, tunnel.esn, tunnel.outer, tunnel.key, tunnel.start)
            low = (tunnel.start + 1) & 0xFFFFFFFF
            other = Tunnel(self.random, *combination)
            peer.ask("open", other.association(tunnel.start, False).encrypt(tunnel.packet(), seq_num=low))
            expected.append("dropped icv_wrong")
            if tunnel.esn:
                sealed = tunnel.association(tunnel.start + (7 << 32), False).encrypt(tunnel.packet(), seq_num=low)
                peer.ask("open", sealed)
                expected.append("dropped icv_wrong")
        self.assertEqual(peer.answers(), expected)

    def test_scapy_refuses_what_was_changed_on_the_way(self):
        peer, tunnel = Peer(), Tunnel(self.random, "aes_gcm_128", True, 4, 4)
        peer.sa(tunnel.suite, tunnel.esn, tunnel.outer, tunnel.key, 5)
        for _ in range(20):
            peer.ask("seal", tunnel.packet())
        for sequence, answer in enumerate(peer.answers(), 5):
            raw = bytearray.fromhex(answer)
            raw[self.random.randrange(20, len(raw))] ^= 1 << self.random.randrange(8)
            outer = IP(bytes(raw))
            outer[ESP].spi = SPI
            if struct.pack("!I", SPI) != bytes(raw[20:24]):
                continue  # scapy would not look further
            with self.assertRaises(IPSecIntegrityError):
                tunnel.association(sequence, True).decrypt(outer)


if __name__ == "__main__":
    print(f"ESP oracle: SEKISHO_SEED={SEED}", flush=True)
    unittest.main(verbosity=2)

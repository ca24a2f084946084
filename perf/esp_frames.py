"""ESP as a peer would send it: IPv4 tunnels with AES-GCM-128 (RFC 4303, 4106), built here for ports that replay frames."""
import ipaddress
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import pcap_port as port


class Association:
    """One SA between two ends, of AES-GCM-128 with 32-bit sequence numbers."""

    def __init__(self, spi, near, far):
        self.spi, self.near, self.far = spi, near, far
        self.key, self.salt = bytes(range(1, 17)), bytes([0xA0, 0xA1, 0xA2, 0xA3])


def sealed(association, to_mac, inner, sequence):
    """The frame in which the far end sends `inner`, an IPv4 packet."""
    trailing = -(len(inner) + 2) % 4
    text = inner + bytes(range(1, trailing + 1)) + bytes([trailing, 4])
    header, iv = struct.pack("!II", association.spi, sequence), struct.pack("!Q", sequence)
    esp = header + iv + AESGCM(association.key).encrypt(association.salt + iv, text, header)
    ends = [ipaddress.ip_address(end).packed for end in (association.far, association.near)]
    outer = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(esp), 0, 0x4000, 64, 50, 0, *ends)
    outer = outer[:10] + struct.pack("!H", port.internet_checksum(outer)) + outer[12:]
    return port.ethernet(to_mac, "02:00:00:00:99:01", 0x0800) + outer + esp

"""Prepared packets for a port that replays them for ever: net_pcap with infinite_rx.

Frames are built here, byte by byte, so that a hundred thousand take a second. The first frame is the next hop's answer to
the hub's question for its MAC address: it comes over and over, so that it counts once the hub has asked.
"""
import ipaddress
import random
import struct


def internet_checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ethernet(destination, source, ether_type, vlan=0):
    tag = struct.pack("!HH", 0x8100, vlan) if vlan else b""
    return mac(destination) + mac(source) + tag + struct.pack("!H", ether_type)


def padded(frame, size):
    return frame + bytes(max(0, size - len(frame)))


def arp_reply(sender_mac, sender, target_mac, target, vlan):
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + mac(sender_mac) + ipaddress.ip_address(sender).packed
    return padded(ethernet(target_mac, sender_mac, 0x0806, vlan) + body + mac(target_mac) + ipaddress.ip_address(target).packed, 64)


def neighbour_advertisement(sender_mac, sender, target_mac, target, vlan):
    """The answer to a solicitation of `target`'s (RFC 4861 §4.4): solicited, overriding, with its link-layer address."""
    source, destination = ipaddress.ip_address(sender).packed, ipaddress.ip_address(target).packed
    message = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + source + bytes([2, 1]) + mac(sender_mac)
    pseudo = source + destination + struct.pack("!II", len(message), 58)
    message = message[:2] + struct.pack("!H", internet_checksum(pseudo + message)) + message[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + source + destination
    return ethernet(target_mac, sender_mac, 0x86DD, vlan) + header + message


def udp4(to_mac, source, destination, ports, size, vlan=0):
    length = size - 14 - (4 if vlan else 0)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0x4000, 64, 17, 0, source, destination)
    header = header[:10] + struct.pack("!H", internet_checksum(header)) + header[12:]
    udp = struct.pack("!HHHH", *ports, length - 20, 0xBEEF)
    return padded(ethernet(to_mac, "02:00:00:00:99:01", 0x0800, vlan) + header + udp, size)


def udp6(to_mac, source, destination, ports, size, vlan=0):
    length = size - 54 - (4 if vlan else 0)
    header = struct.pack("!IHBB16s16s", 6 << 28, length, 17, 64, source, destination)
    udp = struct.pack("!HHHH", *ports, length, 0xBEEF)
    return padded(ethernet(to_mac, "02:00:00:00:99:01", 0x86DD, vlan) + header + udp, size)


def write_pcap(path, frames):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for frame in frames:
            file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)))
            file.write(frame)


def draw(flows, packets, seed=1):
    """`packets` draws from `flows`, every flow at least once where there is room, in random order."""
    chooser = random.Random(seed)
    chosen = [flows[i % len(flows)] for i in range(packets)]
    chooser.shuffle(chosen)
    return chosen

#!/usr/bin/python3
"""Jumbo frames through sekishod as it runs: ports of 9,000 bytes, whose frames come out of a pipe and go into a file.

Called with the build directory. A frame of 9,000 bytes passes whole; a longer one is refused with the MTU; where the way
out carries 1,400 a packet without DF is cut, and scapy puts it together. Needs no root. Exits 77 when scapy is missing.
"""
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
try:
    from scapy.layers.inet import ICMP, IP, TCP, defragment
    from scapy.layers.l2 import ARP, Ether
    from scapy.packet import Raw
    from scapy.utils import PcapWriter, rdpcap
except ImportError as missing:
    print(f"SKIPPED: scapy: {missing}")
    sys.exit(77)

BUILD = os.path.realpath(sys.argv[1])
EXAMPLE = os.path.join(os.path.dirname(__file__), "../../docs/examples/quickstart.json")
HUB = {"kita": "02:00:00:00:01:01", "minami": "02:00:00:00:02:01"}
ROUTER = {"kita": "02:00:00:00:0a:01", "minami": "02:00:00:00:0b:01"}


def policy(minami_mtu):
    with open(EXAMPLE, encoding="utf-8") as file:
        document = json.load(file)
    document["operators"] = [it for it in document["operators"] if it["id"] != "chuo"]
    document["agreements"] = [it for it in document["agreements"] if it["id"] != "kita-provider-https"]
    for agreement in document["agreements"]:
        agreement["state"] = "stateless"  # a segment alone passes, no connection before it
    for kind in ("attachments", "translations", "institutions"):
        document[kind] = [it for it in document[kind] if it["operator"] != "chuo"]
    for attachment in document["attachments"]:
        attachment["mtu"] = minami_mtu if attachment["operator"] == "minami" else 9000
    return document


class Source:
    """A port's frames: a pipe that begins as soon as the port opens it, and ends when all is written."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path, self.go, self.frames = path, threading.Event(), []
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.thread.start()

    def write(self):
        with PcapWriter(self.path, linktype=1, sync=True) as writer:
            writer.write_header(None)
            self.go.wait()
            for frame in self.frames:
                writer.write(frame)

    def send(self, frames):
        self.frames = frames
        self.go.set()


def knows(name):
    """The router's own question, by which the hub learns its MAC address."""
    question = ARP(op=1, hwsrc=ROUTER[name], psrc="192.0.2.2", pdst="192.0.2.1")
    return Ether(src=ROUTER[name], dst="ff:ff:ff:ff:ff:ff") / question


# A pipe that is asked for a burst answers when it has one, or at its end: the first burst was asked for before there was
# a policy, so it is nothing but filling.
BURST = 64
FILLING = [Ether(src=ROUTER["kita"], dst="ff:ff:ff:ff:ff:ff", type=0x88b5) / Raw(bytes(46))] * BURST


def through_the_hub(minami_mtu, packets):
    """What leaves by kita and by minami when kita's router sends these packets."""
    with tempfile.TemporaryDirectory(prefix="sekisho-jumbo.") as work:
        sources = {name: Source(f"{work}/{name}.in") for name in HUB}
        with open(f"{work}/policy.json", "w", encoding="utf-8") as file:
            json.dump(policy(minami_mtu), file)
        ports = [f"--port={name}0=net_pcap{i},rx_pcap={work}/{name}.in,tx_pcap={work}/{name}.out"
                 for i, name in enumerate(HUB)]
        command = [f"{BUILD}/control/sekishod", f"--socket={work}/socket", f"--state-dir={work}/state", "--no-huge",
                   "--mtu=9000", f"--file-prefix=sk-jumbo-{os.getpid()}", f"--policy={work}/policy.json", *ports]
        with open(f"{work}/log", "wb") as log:
            daemon = subprocess.Popen(command, stdout=log, stderr=log)

        def ctl(*words):
            return subprocess.run([f"{BUILD}/control/sekishoctl", f"--socket={work}/socket", *words],
                                  capture_output=True, text=True, check=False)

        try:
            ready = ctl("wait-ready", "--timeout", "30")
            sources["minami"].send([*FILLING, knows("minami")])
            sources["kita"].send([*FILLING, knows("kita"),
                                  *(Ether(src=ROUTER["kita"], dst=HUB["kita"]) / packet for packet in packets)])
            counters, everything = {}, 2 * BURST + 2 + len(packets)
            for _ in range(100):
                time.sleep(0.1)
                answer = ctl("--json", "show", "counters")
                counters = json.loads(answer.stdout)["node"] if answer.returncode == 0 else {}
                if counters.get("received") == everything and counters["held"] == 0:
                    break
        finally:
            daemon.terminate()
            daemon.wait(20)
        accounted = counters.get("received") == everything and counters["unaccounted"] == 0
        if ready.returncode != 0 or not accounted:
            with open(f"{work}/log", encoding="utf-8") as log:
                print(log.read(), ready.stderr, counters)
            sys.exit(1)
        return {name: [frame for frame in rdpcap(f"{work}/{name}.out") if ARP not in frame] for name in HUB}


def expect(words, right):
    print(("ok: " if right else "FAILED: ") + words)
    return right


def packet(size, to_minami=True, **fields):
    source, destination = ("10.1.1.10", "100.65.1.10") if to_minami else ("100.64.1.10", "10.1.1.10")
    segment = TCP(sport=4000, dport=443, flags="A") / Raw(bytes(i % 251 for i in range(size - 40)))
    return IP(src=source, dst=destination, id=7, **fields) / segment


def main():
    right = True
    left = through_the_hub(9000, [packet(9000, flags="DF"), packet(9001, flags="DF")])
    right &= expect("9,000 bytes leave whole", [bytes(frame[IP]) for frame in left["minami"] if IP in frame] ==
                    [bytes(packet(9000, False, flags="DF", ttl=63))])
    errors = [frame[ICMP] for frame in left["kita"] if ICMP in frame]
    told = [(error.type, error.code, error.nexthopmtu) for error in errors]
    right &= expect("9,001 are told 9,000", told == [(3, 4, 9000)])

    left = through_the_hub(1400, [packet(9000)])
    cut = [IP(bytes(frame[IP])) for frame in left["minami"] if IP in frame]
    right &= expect("9,000 bytes leave in seven fragments of 1,396 at most",
                    len(cut) == 7 and all(part.len <= 1396 for part in cut))
    if not right:
        return 1
    whole = IP(bytes(defragment(cut)[0]))
    whole.flags, whole.frag, whole.len, whole.chksum = 0, 0, None, None
    right &= expect("which are the packet together", bytes(whole) == bytes(packet(9000, False, ttl=63)))
    return 0 if right else 1


sys.exit(main())

#!/usr/bin/env python3
"""A tunnel whose peer is a real Linux kernel's ESP, in a virtual machine of qemu's.

    qemu_esp_test.py BUILD-DIR

AES-GCM-256 with ESN, keys by hand on both sides: ping and TCP in both families and both directions, a rekey under traffic without a
loss, and a sequence number that passes 2^32 on its way; packets that the kernel seals whole and sends in fragments; the same in UDP, from a
port that the hub must find out. The kernel here may have no ESP, so the peer brings Debian's. Needs root; without what it needs it is
skipped (77). Leaves nothing behind. [conformance-22] [conformance-23] [conformance-29] [conformance-48]
"""
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import tempfile
import time

import qemu_machine as qemu
from qemu_machine import expect, in_ns, run

# iproute2 is named IP there: busybox has an ip of its own, and a longer name would be an object to iproute2.
# What the kernel asks for by name when SAs come is not asked for in a machine without modprobe: all of it is there before.
MODULES = ["virtio_pci", "virtio_net", "xfrm_user", "esp4", "esp6", "aesni_intel", "ghash-clmulni-intel", "aes_generic", "ghash-generic", "gcm", "ctr",
           "seqiv", "echainiv", "cbc", "hmac", "sha256_generic", "sha512_generic", "jitterentropy_rng", "drbg"]
SETUP = """
ip link set eth0 up
ip address add 192.0.2.2/30 dev eth0
ip address add 10.1.1.10/32 dev lo
IP address add fd00:0:0:1::10/128 dev lo nodad
IP route add 100.64.0.0/10 via 192.0.2.1 src 10.1.1.10
IP route add 2001:db8:8000::/33 dev eth0 src fd00:0:0:1::10
"""
INSIDE = [("10.1.0.0/16", "100.64.0.0/10"), ("fd00:0:0:1::/64", "2001:db8:8000::/33")]  # the peer's side, the hub's
PEER_PORT = 4600  # in UDP; the policy says 4500
MINAMI, KITA = ["100.65.1.10", "2001:db8:8002:1::10"], ["100.64.1.10", "2001:db8:8001:1::10"]
ROLLOVER = 1 << 32


def policy(in_udp=False):
    document = json.loads(pathlib.Path("docs/examples/protected.json").read_text())
    for name, rest in ("echo", {"protocol": "icmp_echo"}), ("iperf", {"protocol": "tcp", "ports": [5201]}):
        document["agreements"].append({"id": f"minami-kita-{name}", **rest, "state": "tracked", "clients": {"operators": ["minami"]},
                                       "services": {"institutions": ["kita-clinic"]}})
    if in_udp:
        document["tunnels"][0]["udp"] = {}
    return document


class Hub:
    """sekishod, its ports TAP devices."""
    def __init__(self, build, work, ports):
        (work / "policy.json").write_text(json.dumps(policy()))
        self.control, self.work = build / "control", work
        command = [self.control / "sekishod", "--socket", work / "socket", "--state-dir", work / "state", "--no-huge", "--memory", 256,
                   "--buffers", 8192, "--file-prefix", f"sk-qesp-{os.getpid()}", "--policy", work / "policy.json", "--manual-keys", "local_ledger"]
        for number, (port, interface) in enumerate(ports):
            command += ["--port", f"{port}=net_tap{number},iface={interface}"]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=(work / "log").open("w"))
        self.ctl("wait-ready", "--timeout", 30)

    def ctl(self, *words):
        return run(self.control / "sekishoctl", "--socket", self.work / "socket", *words)

    def show(self, what):
        return json.loads(self.ctl("--json", "show", what))

    def associations(self):
        return {each["spi"]: each for each in self.show("sa")["items"]}

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(f"/run/dpdk/sk-qesp-{os.getpid()}", ignore_errors=True)  # it is gone already unless sekishod crashed
        return self.process.returncode


class Pair:
    """The two SAs of one key exchange, as each side is told of them."""
    def __init__(self, work, spi, first=0, in_udp=False):
        self.in_udp = in_udp
        self.inbound, self.outbound = [{"spi": spi + side, "key": secrets.token_hex(36)} for side in (0, 1)]  # the hub's view
        self.first = first  # numbers that the peer has used
        self.file = work / f"sa-{spi}.json"
        created = time.strftime("%Y-%m-%dT%H:%M:%S+09:00", time.gmtime(time.time() + 9 * 3600))
        self.file.write_text(json.dumps({"sas": [{"tunnel": "kita-esp", "created": created, "inbound": self.inbound, "outbound": self.outbound}]}))

    def tell(self, peer):
        for source, destination, half, first, ports in (("192.0.2.2", "192.0.2.1", self.inbound, self.first, f"{PEER_PORT} 4500"),
                                                        ("192.0.2.1", "192.0.2.2", self.outbound, 0, f"4500 {PEER_PORT}")):
            encapsulation = f"encap espinudp {ports} 0.0.0.0 " if self.in_udp else ""
            peer.ask(f"IP xfrm state add src {source} dst {destination} proto esp spi {half['spi']} mode tunnel reqid 1 replay-window 1024 "
                     f"replay-oseq {first} flag af-unspec esn {encapsulation}aead 'rfc4106(gcm(aes))' 0x{half['key']} 128")

    def seal_with(self, peer, verb):
        """The peer's packets take this pair's SA from now on."""
        for inside, hub in INSIDE:
            peer.ask(f"IP xfrm policy {verb} src {inside} dst {hub} dir out "
                     f"tmpl src 192.0.2.2 dst 192.0.2.1 proto esp spi {self.inbound['spi']} reqid 1 mode tunnel")

    def forget(self, peer):
        for source, destination, half in ("192.0.2.2", "192.0.2.1", self.inbound), ("192.0.2.1", "192.0.2.2", self.outbound):
            peer.ask(f"IP xfrm state delete src {source} dst {destination} proto esp spi {half['spi']}")


def start_peer(build, work, tap):
    kernel, version = qemu.unpack_kernel(work)
    qemu.make_initramfs(work, qemu.with_dependencies(kernel, version, MODULES), busybox=["grep", "sleep", "tail"], setup=SETUP,
                        programs=[(shutil.which("ip"), "IP"), (shutil.which("ping"), "pinger"), (shutil.which("iperf3"), "iperf3"),
                                  (build / "tests/system/udp_encapsulation", "udp_encapsulation")])
    return qemu.Machine(work, kernel, version, "virtio-net-pci,csum=off,guest_csum=off", [tap], memory=384, processors=1)


def connect(kita, minami, taps):
    """The peer and the hub's port on one Ethernet; a host of minami's by the hub's other port."""
    run("ip", "-n", kita, "link", "add", "line", "type", "bridge")
    for tap in taps["peer"], taps["kita"]:
        run("ip", "link", "set", tap, "netns", kita)
        run("ip", "-n", kita, "link", "set", tap, "master", "line", "up")
    run("ip", "-n", kita, "link", "set", "line", "up")
    run("ip", "link", "set", taps["minami"], "netns", minami)
    for address, device in ("192.0.2.2/30", taps["minami"]), ("10.1.1.10/32", "lo"):
        run("ip", "-n", minami, "address", "add", address, "dev", device)
    for address, device in ("2001:db8:0:101::2/64", taps["minami"]), ("fd00:0:0:1::10/128", "lo"):
        run("ip", "-n", minami, "address", "add", address, "dev", device, "nodad")
    for device in taps["minami"], "lo":
        run("ip", "-n", minami, "link", "set", device, "up")
    run("ip", "-n", minami, "route", "add", "100.64.0.0/10", "via", "192.0.2.1", "src", "10.1.1.10")
    run("ip", "-n", minami, "route", "add", "2001:db8:8000::/33", "via", "2001:db8:0:101::1", "src", "fd00:0:0:1::10")


def lossless(told):
    return " 0% packet loss" in told


def traffic(peer, minami):
    for to_minami, to_kita in zip(MINAMI, KITA):
        expect(f"ping from the peer to {to_minami}", lossless(peer.ask(f"pinger -c 5 -i 0.2 -W 5 {to_minami}")))
        expect("as long as the tunnel carries", lossless(peer.ask(f"pinger -c 2 -i 0.2 -W 5 -s 1380 -M do {to_minami}")))
        back = in_ns(minami, "ping", "-c", "5", "-i", "0.2", "-W", "5", to_kita)
        expect(f"ping to the peer, {to_kita}", lossless(back.stdout), back.stdout + back.stderr)
        for direction in "", "-R":
            told = json.loads(peer.ask(f"iperf3 -J -t 2 {direction} -c {to_minami}"))
            megabytes = told["end"]["sum_received"]["bytes"] / 1e6
            expect(f"TCP {'from' if direction else 'to'} {to_minami}: {megabytes:.1f} MB in two seconds", megabytes > 1, told["end"])


def rekey(hub, peer, minami, old, new):
    """Make before break, while pings run both ways."""
    peer.ask(f"pinger -c 200 -i 0.03 -W 3 {MINAMI[0]} >/tmp/ping 2>&1 & pinging=$!")
    back = subprocess.Popen(["ip", "netns", "exec", minami, "ping", "-c", "200", "-i", "0.03", "-W", "3", KITA[1]], stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    hub.ctl("sa", "rekey", new.file)
    new.tell(peer)
    time.sleep(0.5)
    new.seal_with(peer, "update")
    hub.ctl("sa", "switch", "kita-esp", "--outbound", new.outbound["spi"])
    time.sleep(0.5)
    hub.ctl("sa", "remove", "kita-esp", "--inbound", old.inbound["spi"])
    old.forget(peer)
    told = back.communicate()[0]
    expect("a rekey loses no packet to the peer", lossless(told), told)
    told = peer.ask("wait $pinging; cat /tmp/ping")
    expect("and none from it", lossless(told), told)
    associations = hub.associations()
    expect("the new SAs carry it", sorted(associations) == [new.inbound["spi"], new.outbound["spi"]] and
           all(each["packets"] > 50 for each in associations.values()), associations)


def pass_rollover(hub, peer, pair):
    """The peer's numbers go on beyond 2^32: the high half, which no packet carries, is authenticated all the same."""
    before = hub.associations()[pair.inbound["spi"]]["highest_sequence"]
    expect("the peer's numbers have not passed 2^32 yet", pair.first < before < ROLLOVER, before)
    for _ in range(10):
        peer.ask(f"iperf3 -J -n 4M -c {MINAMI[0]} >/dev/null")
        reached = hub.associations()[pair.inbound["spi"]]["highest_sequence"]
        if reached > ROLLOVER:
            break
    expect("now they have, and TCP went on", reached > ROLLOVER, reached)
    expect("and so do pings", lossless(peer.ask(f"pinger -c 5 -i 0.2 -W 5 {MINAMI[1]}")))


def reassembled(hub):
    return next(stage["packets"] for stage in hub.show("stages")["items"] if stage["stage"] == "reassemble")


def outer_fragments(hub, peer):
    """Longer than the tunnel carries and no DF: the kernel seals it whole, and what comes out goes in fragments."""
    before = reassembled(hub)
    expect("pings that the kernel seals whole and sends in fragments", lossless(peer.ask(f"pinger -c 20 -i 0.1 -W 5 -s 1460 -M dont {MINAMI[0]}")))
    taken = reassembled(hub) - before
    expect(f"came in {taken} fragments, which the hub put together", taken >= 40, taken)


def change_to_udp(hub, peer, minami, work, before):
    """The tunnel's ESP goes in UDP from now on, and the peer's port is none that the policy knows."""
    (work / "in_udp.json").write_text(json.dumps(policy(in_udp=True)))
    hub.ctl("apply", work / "in_udp.json")
    before.forget(peer)
    peer.ask(f"udp_encapsulation {PEER_PORT} & sleep 0.2")
    pair = Pair(work, 6000, in_udp=True)
    pair.tell(peer)
    pair.seal_with(peer, "update")
    hub.ctl("sa", "install", pair.file)
    expect("the peer is where the policy says", hub.show("tunnels")["items"][0]["peer_now"] == "192.0.2.2:4500")
    peer.ask(f"pinger -c 1 -W 1 {MINAMI[0]} || true")
    expect("and then where its packets come from", hub.show("tunnels")["items"][0]["peer_now"] == f"192.0.2.2:{PEER_PORT}", hub.show("tunnels"))
    for to_minami, to_kita in zip(MINAMI, KITA):
        expect(f"ping from the peer to {to_minami}, in UDP", lossless(peer.ask(f"pinger -c 5 -i 0.2 -W 5 {to_minami}")))
        expect("as long as the tunnel carries", lossless(peer.ask(f"pinger -c 2 -i 0.2 -W 5 -s 1380 -M do {to_minami}")))
        back = in_ns(minami, "ping", "-c", "5", "-i", "0.2", "-W", "5", to_kita)
        expect(f"ping to the peer, {to_kita}, in UDP", lossless(back.stdout), back.stdout + back.stderr)
    told = json.loads(peer.ask(f"iperf3 -J -t 2 -R -c {MINAMI[0]}"))
    expect("and TCP", told["end"]["sum_received"]["bytes"] > 1e6, told["end"])
    outer_fragments(hub, peer)


def test(build, work, kita, minami, taps, running):
    peer = start_peer(build, work, taps["peer"])
    running.append(peer)
    hub = Hub(build, work, [("kita0", taps["kita"]), ("minami0", taps["minami"]), ("chuo0", taps["chuo"])])
    running.append(hub)
    hub.ctl("ledger", "new")
    peer.wait_for("ready", 0, 240)
    connect(kita, minami, taps)
    server = subprocess.Popen(["ip", "netns", "exec", minami, "iperf3", "-s"], stdout=subprocess.DEVNULL)
    running.append(server)
    time.sleep(1.1)  # manual keys are younger than the ledger, by its seconds
    first, second = Pair(work, 4096), Pair(work, 5000, ROLLOVER - 8192)
    first.tell(peer)
    first.seal_with(peer, "add")
    for inside, hubs in INSIDE:
        peer.ask(f"IP xfrm policy add src {hubs} dst {inside} dir in tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 1 mode tunnel")
    hub.ctl("sa", "install", first.file)
    traffic(peer, minami)
    rekey(hub, peer, minami, first, second)
    pass_rollover(hub, peer, second)
    outer_fragments(hub, peer)
    change_to_udp(hub, peer, minami, work, second)
    node = hub.show("counters")["node"]
    refused = {reason: count for reason, count in node["dropped"].items() if reason.startswith(("replay", "icv", "esp", "sa_elsewhere", "selector"))}
    expect("nothing of the peer's was refused", not refused, node)
    expect("every packet is accounted for", node["unaccounted"] == 0, node)
    statistics = peer.ask("cat /proc/net/xfrm_stat")
    wrong = [line for line in statistics.splitlines() if line.startswith("XfrmIn") and line.split()[1] != "0" and "NoStates" not in line]
    expect("and the peer refused nothing of the hub's", statistics.startswith("XfrmIn") and not wrong, wrong)
    expect("sekishod ends well", hub.stop() == 0, (work / "log").read_text())


def end(running):
    if isinstance(running, subprocess.Popen):
        running.kill()
        running.wait()
    else:
        running.stop()


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    os.chdir(pathlib.Path(__file__).parents[2])
    if os.geteuid() != 0:
        raise qemu.Skipped("needs root: network namespaces and TAP devices")
    qemu.needs_tools("iperf3")
    kita, minami = names = [f"sk-v{os.getpid()}-{side}" for side in ("kita", "minami")]
    taps = {what: f"sk-v{os.getpid()}{what[0]}" for what in ("peer", "kita", "minami", "chuo")}
    running = []
    with tempfile.TemporaryDirectory(prefix="sekisho-qemu-") as work:
        try:
            for name in names:
                run("ip", "netns", "add", name)
                in_ns(name, "sysctl", "-qw", "net.ipv6.conf.default.accept_ra=0", "net.ipv6.conf.default.router_solicitations=0", check=True)
            test(build, pathlib.Path(work), kita, minami, taps, running)
        finally:
            for each in reversed(running):
                end(each)
            for name in names:
                subprocess.run(["ip", "netns", "delete", name], capture_output=True)


qemu.main_of(main)

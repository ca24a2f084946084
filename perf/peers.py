#!/usr/bin/env python3
"""The same work by the hub and by its peers, one after another in each run: DPDK's l3fwd and ipsec-secgw, and VPP.

Cycles are the TSC's, a packet, the port's own apart. What meets a port (the hub where it forwards, l3fwd, ipsec-secgw)
replays the same prepared frames from net_pcap, and testpmd io on that port is taken off; ESP and sessions are the hub's
whole path from parse to the outbox, as scripts/bench esp and session measure it; VPP is the sum of its graph nodes but for
its packet generator's. Peers do less: no agreement, no gate, one lookup, no byte counted for an operator.
"""
import argparse
import ipaddress
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

import path
import pcap_port as port
from dpdk_peers import L3fwd, Secgw
from esp_frames import Association, sealed
import vpp_peer


class Bench:
    """What the works of one run share."""

    def __init__(self, options, work):
        self.options, self.work, self.memory = options, work, path.choose_memory()
        self.vpp = vpp_peer.find(options.vpp)
        self.found = {}  # by program of ours: what it found in this run

    def capture(self, frames):
        file = self.work / "packets.pcap"
        port.write_pcap(file, frames)
        return file

    def cycles(self, program):
        with program:
            time.sleep(0.5)
            return path.nanoseconds_a_packet(program, self.options.seconds) * self.options.hertz / 1e9

    def on_port(self, frames, starts):
        """Cycles a packet of each program that starts[name](devargs) starts, less testpmd io's on the same port."""
        devargs = f"net_pcap0,rx_pcap={self.capture(frames)},infinite_rx=1"
        bare = self.cycles(path.Testpmd(devargs, self.memory))
        return {name: self.cycles(start(devargs)) - bare for name, start in starts.items()}

    def on_vpp(self, frames, lines, warm_up=False):
        """Cycles a packet, with `warm_up` of the first pass over the frames and of later ones."""
        capture = self.capture(frames)
        with vpp_peer.Vpp(self.vpp, self.work, lines) as vpp:
            first = None
            if warm_up:
                vpp.clear()
                vpp.generate(capture, len(frames))
                vpp.wait_for(len(frames))
                first = vpp.cycles()
                vpp.stop_generating()
            vpp.generate(capture, -1)
            time.sleep(0.5)
            vpp.clear()
            time.sleep(self.options.seconds)
            return (first, vpp.cycles()) if warm_up else vpp.cycles()

    def finding(self, program, arguments, case):
        """A figure of one of our own benchmarks, which runs once for all that a work asks of it."""
        if program not in self.found:
            file = self.work / "findings.json"
            subprocess.run([self.options.build / "perf" / program, "--json", file, "--runs", "3", *arguments], check=True, stdout=subprocess.DEVNULL)
            self.found[program] = {row["case"]: row["value"] for row in json.loads(file.read_text())}
        return self.found[program][case]


class Forward:
    """Plain forwarding between two operators that share an address space. l3fwd and VPP route by the destination alone."""

    def __init__(self, case, goal, lookups):
        self.case, self.lookups, self.goals = case, lookups, {case.name: goal}

    def measure(self, bench):
        case, routes = self.case, [hub for _, hub in path.prefixes(self.case, 1)]
        frames = path.packets_of(case)
        policy = bench.work / "policy.json"
        policy.write_text(json.dumps(path.policy_of(case)))
        ours = {"sekisho": lambda devargs: path.Sekishod(bench.options.build, devargs, policy, bench.work, bench.memory)}
        found = bench.on_port(frames, ours)
        if bench.vpp:  # next: a shared machine is another after a while
            found["VPP"] = bench.on_vpp(frames[1:], self.vpp_lines(routes))
        theirs = {f"l3fwd {lookup}": lambda devargs, lookup=lookup: L3fwd(bench.options.examples, devargs, bench.memory, bench.work, lookup, routes)
                  for lookup in self.lookups}
        found |= bench.on_port(frames[1:], theirs)  # without the neighbour's answer, which they forward nowhere
        return {case.name: found}

    def vpp_lines(self, routes):
        four = self.case.family == 4
        exit_address, gateway = ("198.18.0.1/30", "198.18.0.2") if four else ("2001:db8:f::1/64", "2001:db8:f::2")
        near = "192.0.2.1/30" if four else "2001:db8:0:1::1/64"
        return [f"set interface ip address pg0 {near}", f"set interface ip address pg1 {exit_address}",
                f"set ip neighbor pg1 {gateway} {path.GATEWAY_MAC}", *(f"ip route add {route} via {gateway} pg1" for route in routes)]


class Esp:
    """One SA of AES-GCM-128 between IPv4 ends."""

    def __init__(self, seal, size, goal):
        self.seal, self.size, self.name = seal, size, f"{'seal' if seal else 'open'} {size:,} B"
        self.goals = {self.name: goal}

    def measure(self, bench):
        association = Association(4096, "203.0.113.1", "203.0.113.2")
        chooser = random.Random(3)

        def inner():
            source, target = (ipaddress.ip_address(f"{net}.{chooser.randrange(250)}.{chooser.randrange(1, 250)}").packed for net in ("10.16", "10.32"))
            return port.udp4(path.HUB_MAC, source, target, (chooser.randrange(1024, 65536), 5000), self.size)

        frames = [inner() for _ in range(1000)]
        if not self.seal:
            frames = [sealed(association, path.HUB_MAC, frame[14:], number + 1) for number, frame in enumerate(frames)]
        found = {"sekisho": bench.finding("esp_bench", ["--only", "path"], f"{self.name}, whole path")}
        if bench.vpp:
            found["VPP"] = bench.on_vpp(frames, self.vpp_lines(association))
        return {self.name: found | bench.on_port(frames, {"ipsec-secgw": lambda devargs: Secgw(
            bench.options.examples, devargs, bench.memory, bench.work, self.seal, association, "10.32.0.0/16")})}

    def vpp_lines(self, association):
        sa = f"esp crypto-alg aes-gcm-128 crypto-key {association.key.hex()} salt 0x{association.salt.hex()}"
        lines = ["set interface ip address pg0 192.0.2.1/30", "set interface ip address pg1 198.18.0.1/30",
                 f"set ip neighbor pg1 198.18.0.2 {path.GATEWAY_MAC}",
                 f"create ipip tunnel src {association.near} dst {association.far}",
                 "create loopback interface", "set interface state loop0 up", f"set interface ip address loop0 {association.near}/32",
                 f"ipsec sa add 1 spi {association.spi} {sa}", f"ipsec sa add 2 spi {association.spi} {sa} inbound",
                 "ipsec tunnel protect ipip0 sa-out 1 sa-in 2", "set interface unnumbered ipip0 use loop0", "set interface state ipip0 up",
                 f"ip route add {association.far}/32 via 198.18.0.2 pg1"]
        return [*lines, "ip route add 10.32.0.0/16 via " + ("ipip0" if self.seal else "198.18.0.2 pg1")]


class Translate:
    """Many behind few addresses: established sessions from inside, at random, and what opens one."""

    def __init__(self, sessions, goal, goal_of_new):
        self.sessions, self.name = sessions, f"port block, {sessions:,} sessions"
        self.goals = {self.name: goal, self.name + ", a new one": goal_of_new}

    def measure(self, bench):
        archive, ports = ipaddress.ip_address("198.51.100.8").packed, 64
        first = int(ipaddress.ip_address("10.16.0.0"))
        arguments, ours = ["--sessions", str(self.sessions)], f"port block, {self.sessions}: "
        path_cost, opening = (bench.finding("session_bench", arguments, ours + what) for what in ("questions, path", "open"))
        established, new = {"sekisho": path_cost}, {"sekisho": opening}
        if bench.vpp:
            flows = [port.udp4(path.HUB_MAC, (first + n // ports).to_bytes(4, "big"), archive, (20000 + n % ports, 53), 64) for n in range(self.sessions)]
            random.Random(5).shuffle(flows)
            new["VPP"], established["VPP"] = bench.on_vpp(flows, [
                "set interface ip address pg0 192.0.2.1/30", "set interface ip address pg1 198.18.0.1/30",
                f"set ip neighbor pg1 198.18.0.2 {path.GATEWAY_MAC}", "ip route add 198.51.100.0/24 via 198.18.0.2 pg1",
                f"nat44 plugin enable sessions {2 * self.sessions}", "nat44 add address 100.100.0.1 - 100.100.0.64",
                "set interface nat44 in pg0 out pg1"], warm_up=True)
        return {self.name: established, self.name + ", a new one": new}


# A goal is a share of what VPP takes: the cycles that the hub was designed to, over those that VPP took on that machine.
WORKS = [
    Forward(path.CASES[0], 30 / 42, ["lpm", "fib"]),
    Forward(path.CASES[2], None, ["fib"]),
    Forward(path.CASES[3], None, ["lpm", "fib"]),
    Forward(path.CASES[4], None, ["fib"]),
    *(Esp(True, size, goal) for size, goal in ((64, 115 / 139), (512, 155 / 188), (1400, 265 / 284))),
    *(Esp(False, size, goal) for size, goal in ((64, 110 / 162), (512, 150 / 209), (1400, 245 / 305))),
    Translate(65_536, None, None),
    Translate(1_048_576, 100 / 400, 1200 / 3000),
]


def tsc_hertz(options):
    with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as directory:
        work = pathlib.Path(directory)
        bench, policy = Bench(options, work), work / "policy.json"
        policy.write_text(json.dumps(path.policy_of(path.CASES[0])))
        devargs = f"net_pcap0,rx_pcap={bench.capture(path.packets_of(path.CASES[0]))},infinite_rx=1"
        with path.Sekishod(options.build, devargs, policy, work, bench.memory) as hub:
            return hub.ctl("show", "stages")["tsc_hz"]


def report(name, goal, runs):
    """One line, and a row for each peer. A ratio is the median of the runs' own: what a machine does to one run it does to both."""
    ours = [run["sekisho"] for run in runs]
    text, rows = [f"{name:<44} sekisho {statistics.median(ours):7.1f}"], []
    for peer in (peer for peer in runs[0] if peer != "sekisho"):
        value = statistics.median(run[peer] for run in runs)
        ratios = [run["sekisho"] / run[peer] for run in runs]
        ratio, wanted = statistics.median(ratios), goal if peer == "VPP" else None
        met = None if wanted is None else ratio <= wanted
        verdict = "" if met is None else f", goal {wanted:.3f}: {'met' if met else 'NOT met'}"
        text.append(f"{peer} {value:.1f} ({ratio:.2f} of it, {min(ratios):.2f} to {max(ratios):.2f}{verdict})")
        rows.append({"bench": "peers", "case": name, "value": round(statistics.median(ours), 2), "unit": "cycles/packet", "peer": peer,
                     "peer_value": round(value, 2), "ratio": round(ratio, 3), "goal": wanted, "met": met, "runs": len(runs),
                     "spread": [round(min(ours), 2), round(max(ours), 2)]})
    print("\n   ".join(text), flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--examples", type=pathlib.Path, required=True, help="where l3fwd and ipsec-secgw are")
    parser.add_argument("--vpp", help="the vpp program, with vppctl beside it; else the one in PATH, if any")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the results")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--case", default="", help="only works whose name has these words")
    options = parser.parse_args()
    works = [work for work in WORKS if any(options.case in name for name in work.goals)]
    if not works:
        sys.exit(f"no work has \"{options.case}\" in its name; there are: " + "; ".join(name for work in WORKS for name in work.goals))
    if not vpp_peer.find(options.vpp):
        print("no vpp in PATH and none given: its column is left out")
    options.hertz = tsc_hertz(options)
    rows = []
    for work in works:
        runs = []
        for _ in range(options.runs):
            with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as directory:
                runs.append(work.measure(Bench(options, pathlib.Path(directory))))
        for name, goal in work.goals.items():
            rows += report(name, goal, [run[name] for run in runs])
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

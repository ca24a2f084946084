#!/usr/bin/env python3
"""The whole path on one worker, beside testpmd io on the same port, and on two workers, beside one, in the same run.

Both meet net_pcap with infinite_rx: prepared packets for ever, what is sent is thrown away. A cycle is one of the TSC's; cycles
a packet are the worker thread's own CPU time, by the kernel's account, over the packets that it took. "Above testpmd" is
the difference of the two: the port's own cost apart. Packets are in the cache here, as they are not after a NIC's DMA.

Two workers are measured by what they sent, over the mean of their CPU times: through a queue each, and through one queue that
the first worker spreads. Their peer is one worker on the same port.
"""
import argparse
import ipaddress
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import pcap_port as port

HUB_MAC = "02:00:00:00:00:01"
EXIT_MAC = "02:00:00:00:00:02"
GATEWAY_MAC = "02:00:00:00:99:02"
EXIT_VLAN = 7
MEMORY_MB = 1024
BUFFERS = 200000
MEMBERS = 4096  # institutions that one agreement may name


class Case:
    def __init__(self, name, family, rows, flows, size, goal=None):
        self.name, self.family, self.rows, self.flows, self.size, self.goal = name, family, rows, flows, size, goal


CASES = [
    Case("IPv4 64 B, 1,000 rows, 1,000 flows", 4, 1000, 1000, 64, goal=60),
    Case("IPv4 64 B, 1,000 rows, 65,536 flows", 4, 1000, 65536, 64),
    Case("IPv4 64 B, 100,000 rows, 65,536 flows", 4, 100000, 65536, 64),
    Case("IPv6 64 B, 1,000 rows, 1,000 flows", 6, 1000, 1000, 64, goal=60),
    Case("IPv6 64 B, 100,000 rows, 65,536 flows", 6, 100000, 65536, 64),
    Case("IPv4 1,400 B, 1,000 rows, 1,000 flows", 4, 1000, 1000, 1400),
]


def prefixes(case, side):
    """Operator-space and hub-space network of each institution of a side; both sides use one operator space."""
    each = case.rows // 2
    if case.family == 4:
        length, base = 27, int(ipaddress.ip_address("10.0.0.0"))  # 50,000 of them fit into a side's /11
        hub = int(ipaddress.ip_address("100.64.0.0")) + side * (1 << 21)
        step = 1 << (32 - length)
    else:
        length, base = 64, int(ipaddress.ip_address("fd00::"))
        hub = int(ipaddress.ip_address("2001:db8:8000::")) + side * (1 << 96 - 16)
        step = 1 << 64
    network = ipaddress.IPv4Network if case.family == 4 else ipaddress.IPv6Network
    return [(network((base + i * step, length)), network((hub + i * step, length))) for i in range(each)]


def policy_of(case):
    """Two operators with one address space; the first may send UDP to port 5000 of all the second's."""
    four = case.family == 4
    space, hubs = ("10.0.0.0/11", ["100.64.0.0/11", "100.96.0.0/11"]) if four else ("fd00::/48", ["2001:db8:8000::/48", "2001:db8:8001::/48"])
    pool = "100.64.0.0/10" if four else "2001:db8:8000::/33"
    document = {"hub": {"rules_version": "bench", "pools": [pool]}, "operators": [], "attachments": [], "translations": [],
                "institutions": [], "agreements": [], "routes": [], "gates": []}
    for side, name in enumerate(("north", "south")):
        document["operators"].append({"id": name, "name": name, "certification": {
            "number": name, "valid_from": "2026-04-01", "valid_until": "2028-03-31", "expiry_action": "warn"}})
        attachment = {"id": name, "operator": name, "port": "p0", "method": "leased_line", "protection": "none",
                      "session_management": "none", "family": "ipv4" if four else "ipv6",
                      "mac": EXIT_MAC if side else HUB_MAC, "demarcation": "bench"}
        attachment.update({"ipv4": "192.0.2.1/30"} if four else {"ipv6": "2001:db8:0:1::1/64"})
        if side:
            attachment["vlan"] = EXIT_VLAN
        document["attachments"].append(attachment)
        document["translations"].append({"id": name, "operator": name, "kind": "prefix_map", "operator_prefix": space, "hub_prefix": hubs[side]})
        gateway = "192.0.2.2" if four else "2001:db8:0:1::2"
        document["routes"].append({"operator": name, "prefix": space, "nexthops": [{"attachment": name, "gateway": gateway}]})
        for i, (_, hub) in enumerate(prefixes(case, side)):
            document["institutions"].append({
                "id": f"{name}-{i}", "operator": name, "kind": "hospital", "certificate": str(i), "application": str(i), "prefixes": [str(hub)],
                "links": [{"method": "leased_line", "access_line_operator": "x", "cpe": "x", "demarcation": "x", "attachments": [name]}]})
    served = [institution["id"] for institution in document["institutions"] if institution["operator"] == "south"]
    for first in range(0, len(served), MEMBERS):
        document["agreements"].append({
            "id": f"bench-{first}", "protocol": "udp", "ports": [5000], "state": "stateless",
            "clients": {"operators": ["north"]}, "services": {"institutions": served[first:first + MEMBERS]}})
    return document


def packets_of(case):
    chooser = random.Random(7)
    sources, destinations = prefixes(case, 0), prefixes(case, 1)

    def host(network):
        return (network.network_address + chooser.randrange(1, min(network.num_addresses - 1, 60))).packed

    build = port.udp4 if case.family == 4 else port.udp6
    flows = [build(HUB_MAC, host(chooser.choice(sources)[0]), host(chooser.choice(destinations)[1]), (chooser.randrange(1024, 65536), 5000), case.size)
             for _ in range(case.flows)]
    if case.family == 4:
        answer = port.arp_reply(GATEWAY_MAC, "192.0.2.2", EXIT_MAC, "192.0.2.1", EXIT_VLAN)
    else:
        answer = port.neighbour_advertisement(GATEWAY_MAC, "2001:db8:0:1::2", EXIT_MAC, "2001:db8:0:1::1", EXIT_VLAN)
    return [answer] + port.draw(flows, max(16384, case.flows))


class Workers:
    """CPU time of a process's polling threads: their mean."""

    def __init__(self, pid, count=1):
        # EAL has a thread for each lcore but the first; testpmd's statistics need no other.
        tasks = sorted(pathlib.Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
        self.paths = [task / "schedstat" for task in tasks if "worker" in (task / "comm").read_text()]
        if len(self.paths) != count:
            raise SystemExit(f"process {pid} has {len(self.paths)} worker threads, not {count}")

    def nanoseconds(self):
        return sum(int(path.read_text().split()[0]) for path in self.paths) / len(self.paths)


def eal_arguments(memory):
    return ["--no-huge", "-m", str(MEMORY_MB)] if memory == "no-huge" else ["--in-memory", "-m", str(MEMORY_MB)]


def remove_runtime_files(prefix):
    """Of a DPDK program that has ended; most leave them."""
    shutil.rmtree(f"/run/dpdk/{prefix}", ignore_errors=True)


class Testpmd:
    def __init__(self, devargs, memory):
        self.prefix = f"sk-bench-testpmd-{os.getpid()}"
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", "dpdk-testpmd", "--lcores", "0@0,1@1", "-a", "0000:00:00.0", "--file-prefix", self.prefix, "--vdev", devargs,
             *eal_arguments(memory), "--", "-i", "--no-flush-rx", "--forward-mode=io", "--port-topology=loop", "--burst=64",
             f"--total-num-mbufs={BUFFERS}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.ask("start")
        self.packets()
        self.worker = Workers(self.process.pid)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def packets(self):
        self.ask("show port stats 0")
        for line in self.process.stdout:
            if "RX-packets" in line:
                return int(line.split()[1])
        raise SystemExit("testpmd ended early")

    def stop(self):
        self.process.terminate()
        self.process.communicate()
        remove_runtime_files(self.prefix)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()


class Sekishod:
    def __init__(self, build, devargs, policy, work, memory, workers=1, queues=None):
        self.build, self.socket = build, work / "control.sock"
        arguments = [build / "control/sekishod", "--socket", self.socket, "--state-dir", work / "state", "--policy", policy,
                     "--port", f"p0={devargs}", "--idle", "poll", "--memory", str(MEMORY_MB), "--buffers", str(BUFFERS), "--lcores", "0@0,1@1" if workers == 1 else "0@0,1@1,2@0", "--workers", str(workers),
                     "--file-prefix", f"sk-bench-{os.getpid()}"]
        if memory == "no-huge":
            arguments.append("--no-huge")
        if queues:
            arguments += ["--queues", str(queues)]
        self.log = open(work / "sekishod.log", "w")
        self.process = subprocess.Popen([str(a) for a in arguments], stdout=self.log, stderr=self.log)
        if self.ctl("wait-ready", "--timeout", "60") is None:
            self.stop()
            raise SystemExit((work / "sekishod.log").read_text())
        self.worker = Workers(self.process.pid, workers)

    def ctl(self, *words):
        result = subprocess.run([self.build / "control/sekishoctl", "--socket", self.socket, "--json", *words], capture_output=True, text=True)
        return json.loads(result.stdout or "{}") if result.returncode == 0 else None

    def packets(self):
        return self.ctl("show", "counters")["node"]["received"]

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()


def nanoseconds_a_packet(program, seconds):
    """The worker's CPU time over packets, and packets a second of CPU time."""
    packets, cpu = program.packets(), program.worker.nanoseconds()
    time.sleep(seconds)
    packets, cpu = program.packets() - packets, program.worker.nanoseconds() - cpu
    return cpu / packets


def stages(before, after):
    result = {}
    for old, new in zip(before["items"], after["items"]):
        packets = new["timed_packets"] - old["timed_packets"]
        if packets:
            result[new["stage"]] = (new["timed_cycles"] - old["timed_cycles"]) / packets
    return result


def check_outcome(hub, case, before):
    """A figure counts only if the packets since `before` went where they should."""
    node = hub.ctl("show", "counters")["node"]
    if node["unaccounted"] != 0:
        raise SystemExit(f"{case.name}: {node['unaccounted']} packets are unaccounted for")
    sent, received = node["sent"] - before["sent"], node["received"] - before["received"]
    if sent < 0.99 * received:
        raise SystemExit(f"{case.name}: only {sent} of {received} were sent: {hub.ctl('show', 'drops')}")


def measure(case, options, work, memory):
    policy, capture = work / "policy.json", work / "packets.pcap"
    policy.write_text(json.dumps(policy_of(case)))
    port.write_pcap(capture, packets_of(case))
    devargs = f"net_pcap0,rx_pcap={capture},infinite_rx=1"
    ours, theirs, by_stage = [], [], []
    for _ in range(options.runs):
        with Testpmd(devargs, memory) as testpmd:
            time.sleep(0.5)
            peer = nanoseconds_a_packet(testpmd, options.seconds)
        with Sekishod(options.build, devargs, policy, work, memory) as hub:
            time.sleep(0.5)
            before, node = hub.ctl("show", "stages"), hub.ctl("show", "counters")["node"]
            mine = nanoseconds_a_packet(hub, options.seconds)
            after = hub.ctl("show", "stages")
            check_outcome(hub, case, node)
        cycles = after["tsc_hz"] / 1e9
        ours.append(mine * cycles)
        theirs.append(peer * cycles)
        by_stage.append(stages(before, after))
        hertz = after["tsc_hz"]
    above = [mine - peer for mine, peer in zip(ours, theirs)]
    return ours, theirs, above, by_stage, hertz


def report(case, ours, theirs, above, by_stage, hertz):
    value, peer = statistics.median(ours), statistics.median(theirs)
    over = statistics.median(above)
    verdict = "" if case.goal is None else f"   goal {case.goal}: {'met' if over <= case.goal else 'NOT met'}"
    print(f"{case.name}\n   {value:6.1f} cycles/packet, {hertz / value / 1e6:.1f} Mpps; testpmd io {peer:.1f}; "
          f"above testpmd {over:.1f} ({min(above):.1f} to {max(above):.1f}){verdict}")
    common = {"bench": "path", "peer": "testpmd io", "runs": len(ours)}
    rows = [{**common, "case": case.name, "value": round(value, 2), "unit": "cycles/packet", "peer_value": round(peer, 2),
             "ratio": round(value / peer, 3), "goal": None, "met": None, "spread": [round(min(ours), 2), round(max(ours), 2)]},
            {**common, "case": case.name + ", port apart", "value": round(over, 2), "unit": "cycles/packet above testpmd io",
             "peer_value": 0, "ratio": None, "goal": case.goal, "met": None if case.goal is None else over <= case.goal,
             "spread": [round(min(above), 2), round(max(above), 2)]},
            {**common, "case": case.name, "value": round(hertz / value / 1e6, 3), "unit": "Mpps", "peer_value": round(hertz / peer / 1e6, 3),
             "ratio": round(peer / value, 3), "goal": None, "met": None, "spread": [round(hertz / max(ours) / 1e6, 3), round(hertz / min(ours) / 1e6, 3)]}]
    line = []
    for stage in by_stage[0]:
        values = [run[stage] for run in by_stage if stage in run]
        line.append(f"{stage} {statistics.median(values):.1f}")
        rows.append({**common, "case": f"{case.name}, stage {stage}", "value": round(statistics.median(values), 2), "unit": "cycles/packet in the stage",
                     "peer": None, "peer_value": None, "ratio": None, "goal": None, "met": None, "spread": [round(min(values), 2), round(max(values), 2)]})
    print("   by stage: " + ", ".join(line), flush=True)
    return rows


class Pair:
    """Two workers on one port beside one worker on it."""

    def __init__(self, name, queues, goal=None, size=64):
        self.name, self.queues, self.goal = name, queues, goal
        self.traffic = Case(name, 4, 1000, 1000, size)


PAIRS = [
    Pair("two workers through queues, IPv4 64 B", None, goal=1.85),
    Pair("two workers through the spreader, IPv4 64 B", 1, goal=1.3),
    Pair("two workers through the spreader, IPv4 1,400 B", 1, size=1400),
]
HAND_OVER_GOAL = 30  # TSC cycles a packet


def sent_a_second(hub, seconds):
    """What was sent over the workers' mean CPU time, in packets a second."""
    packets, cpu = hub.ctl("show", "counters")["node"]["sent"], hub.worker.nanoseconds()
    time.sleep(seconds)
    return (hub.ctl("show", "counters")["node"]["sent"] - packets) / (hub.worker.nanoseconds() - cpu) * 1e9


def measure_pair(pair, options, work, memory):
    policy = work / "policy.json"
    policy.write_text(json.dumps(policy_of(pair.traffic)))
    files = []
    for queue in range(2):
        files.append(work / f"packets{queue}.pcap")
        port.write_pcap(files[-1], packets_of(pair.traffic))
    spread = pair.queues == 1
    devargs = ",".join(["net_pcap0"] + [f"rx_pcap={file}" for file in (files[:1] if spread else files)] + ["infinite_rx=1"])
    rates, costs, lost = [], [], []
    for _ in range(options.runs):
        run = []
        for workers in (1, 2):
            with Sekishod(options.build, devargs, policy, work, memory, workers, pair.queues) as hub:
                time.sleep(0.5)
                before, earlier = hub.ctl("show", "stages"), hub.ctl("show", "counters")["node"]
                run.append(sent_a_second(hub, options.seconds))
                node, after = hub.ctl("show", "counters")["node"], hub.ctl("show", "stages")
                # What a worker could not take is lost to the figure; anything else that is dropped is a mistake.
                others = {reason: count - earlier["dropped"].get(reason, 0) for reason, count in node["dropped"].items() if reason != "handover_full"}
                if node["unaccounted"] != 0 or sum(others.values()) > 0.001 * (node["received"] - earlier["received"]):
                    raise SystemExit(f"{pair.name}: {others} of {node}")
                full = node["dropped"].get("handover_full", 0) - earlier["dropped"].get("handover_full", 0)
        lost.append(full / (node["received"] - earlier["received"]))
        rates.append(run)
        costs.append(stages(before, after))
    return rates, costs, lost


def report_pair(pair, rates, costs, lost):
    ratios = [two / one for one, two in rates]
    value = statistics.median(ratios)
    one, two = (statistics.median(rate[i] for rate in rates) / 1e6 for i in range(2))
    verdict = "" if pair.goal is None else f"   goal {pair.goal}: {'met' if value >= pair.goal else 'NOT met'}"
    print(f"{pair.name}\n   {value:.2f} times one worker ({min(ratios):.2f} to {max(ratios):.2f}); {two:.2f} Mpps, one {one:.2f}{verdict}")
    common = {"bench": "path", "runs": len(rates)}
    rows = [{**common, "case": pair.name, "value": round(value, 3), "unit": "times one worker", "peer": "one worker", "peer_value": 1,
             "ratio": round(value, 3), "goal": pair.goal, "met": None if pair.goal is None else value >= pair.goal,
             "spread": [round(min(ratios), 3), round(max(ratios), 3)]}]
    if pair.queues == 1:
        each = [run["hand_over"] + run["hand_in"] for run in costs]
        cost, hashing = statistics.median(each), statistics.median(run["spread"] for run in costs)
        met = cost <= HAND_OVER_GOAL
        print(f"   {100 * statistics.median(lost):.1f} % of what came found the ring full: near 0 when both workers have a core to themselves")
        print(f"   hand-over {cost:.1f} cycles/packet ({min(each):.1f} to {max(each):.1f}), giver and taker; before it, choosing the worker "
              f"{hashing:.1f}   goal {HAND_OVER_GOAL}: {'met' if met else 'NOT met'}")
        rows.append({**common, "case": pair.name + ", hand-over", "value": round(cost, 2), "unit": "cycles/packet", "peer": None, "peer_value": None,
                     "ratio": None, "goal": HAND_OVER_GOAL, "met": met, "spread": [round(min(each), 2), round(max(each), 2)]})
    sys.stdout.flush()
    return rows


def choose_memory():
    free = sum(int((directory / "free_hugepages").read_text()) * int(directory.name.split("-")[1][:-2])
               for directory in pathlib.Path("/sys/kernel/mm/hugepages").glob("hugepages-*"))
    return "hugepages" if free >= MEMORY_MB * 1024 else "no-huge"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path, help="where to write the results")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--case", default="", help="only cases whose name has these words")
    options = parser.parse_args()
    chosen = [case for case in CASES if options.case in case.name]
    pairs = [pair for pair in PAIRS if options.case in pair.name]
    if not chosen and not pairs:
        sys.exit(f"no case has \"{options.case}\" in its name; there are: " + "; ".join(case.name for case in CASES + PAIRS))
    memory = choose_memory()
    print(f"{memory}, medians of {options.runs} runs")
    rows = []
    for case in chosen:
        with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as work:
            rows += report(case, *measure(case, options, pathlib.Path(work), memory))
    for pair in pairs:
        with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as work:
            rows += report_pair(pair, *measure_pair(pair, options, pathlib.Path(work), memory))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

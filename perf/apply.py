#!/usr/bin/env python3
"""A large policy applied while traffic flows: how long it takes, and whether a packet is lost.

sekishod forwards replayed packets of a small policy; then a document of 256 operators, 1,024 attachments, 50,000 institutions with an
IPv4 and an IPv6 prefix each, and 10,000 agreements is applied, the small policy's objects among them. Afterwards every packet that
came must have been sent, but for the few before the next hop's address was known. With --million, 500,000 institutions with two
prefixes of each family: a million rows each, some 300 MB of JSON. The memory of both programs is told with it.
"""
import argparse
import dataclasses
import json
import multiprocessing
import os
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

import path
import pcap_port as port

OPERATORS, ATTACHMENTS_EACH, AGREEMENTS = 254, 4, 10000


@dataclasses.dataclass
class Size:
    words: str
    institutions: int
    prefixes_each: int  # of each family
    block: int  # prefix length of an operator's hub-numbered IPv4 block
    first: int  # the first of those blocks
    pool: str
    goal_seconds: float
    goal_of: str  # what the goal is on: apply (all of it), or compile (the compiler's own time)
    text: str  # in each institution's record
    tunnels_each: int = 0  # of an operator, each with its attachment


USUAL = Size("256 operators, 1,024 attachments, 100,000 prefixes, 10,000 agreements", 49000, 1, 20, 172 << 24 | 16 << 16,
             "172.16.0.0/12", 5, "apply", "x")
# The hub's size: with the small policy's, 524,288 institutions.
MILLION = Size("256 operators, 132,336 attachments, 131,064 tunnels, 524,288 institutions, 1,047,576 + 1,046,576 prefixes, 10,000 agreements",
               523288, 2, 16, 44 << 24, "44.0.0.0/8", 30, "apply", "as the institution's record has it, 2026", 516)
# What the replay itself causes: it begins before the next hop is known, and answers before it is asked.
OF_THE_REPLAY = {"arp_not_ours", "neighbour_hold_full", "attachment_unknown"}


def text_of(address):
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def add_tunnels(document, name, number, size):
    """An underlay of the operator, and tunnels over it, each the path of an attachment."""
    if size.tunnels_each == 0:
        return
    common = {"operator": name, "demarcation": "bench", "family": "dual"}
    document["attachments"].append({
        **common, "id": f"{name}-underlay", "port": "p0", "vlan": 2000 + number, "method": "leased_line", "protection": "none", "underlay": True,
        "session_management": "none", "mac": f"02:00:00:00:02:{number:02x}", "ipv4": "198.18.0.1/16", "ipv6": "2001:db8:1::1/64"})
    for i in range(size.tunnels_each):
        document["tunnels"].append({
            "id": f"{name}-tunnel-{i}", "underlay": f"{name}-underlay", "peer": f"198.18.{1 + i // 256}.{i % 256}", "suite": "aes_gcm_128", "keys": "manual",
            "selectors": [{"local": "0.0.0.0/0", "remote": f"198.19.{128 + i // 256}.{i % 256}/32"}, {"local": "::/0", "remote": f"2001:db8:2:{i:x}::/64"}]})
        document["attachments"].append({
            **common, "id": f"{name}-tunnel-{i}", "tunnel": f"{name}-tunnel-{i}", "method": "ip_vpn", "protection": "esp",
            "session_management": "hub", "ipv4": f"198.19.{i // 256}.{i % 256}/32", "ipv6": f"2001:db8:2:{i:x}::1/128"})


def large_policy(case, size):
    """The small policy and many operators beside it, all in one address space."""
    document = path.policy_of(case)
    document["tunnels"] = []
    document["hub"]["pools"] += [size.pool, "2001:db8:4000::/34"]
    each = 16 // size.prefixes_each  # addresses of an IPv4 prefix
    length = 32 - (each - 1).bit_length()
    names = []
    for number in range(OPERATORS):
        name = f"operator-{number}"
        document["operators"].append({"id": name, "name": name, "certification": {
            "number": name, "valid_from": "2026-04-01", "valid_until": "2028-03-31", "expiry_action": "warn"}})
        for line in range(ATTACHMENTS_EACH):
            vlan = 10 + number * ATTACHMENTS_EACH + line
            document["attachments"].append({
                "id": f"{name}-{line}", "operator": name, "port": "p0", "vlan": vlan, "method": "leased_line", "protection": "none",
                "session_management": "none", "family": "dual", "mac": f"02:00:00:01:{vlan >> 8:02x}:{vlan & 255:02x}",
                "ipv4": f"192.0.2.{4 * line + 1}/30", "ipv6": f"2001:db8:0:{line + 1:x}::1/64", "demarcation": "bench"})
        add_tunnels(document, name, number, size)
        first = size.first + number * 2 ** (32 - size.block)
        document["translations"] += [
            {"id": f"{name}-v4", "operator": name, "kind": "prefix_map", "operator_prefix": f"10.0.0.0/{size.block}",
             "hub_prefix": f"{text_of(first)}/{size.block}"},
            {"id": f"{name}-v6", "operator": name, "kind": "prefix_map", "operator_prefix": "fd00::/48",
             "hub_prefix": f"2001:db8:{0x4000 + number:x}::/48"}]
        document["routes"] += [
            {"operator": name, "prefix": f"10.0.0.0/{size.block}", "nexthops": [{"attachment": f"{name}-0", "gateway": "192.0.2.2"}]},
            {"operator": name, "prefix": "fd00::/48", "nexthops": [{"attachment": f"{name}-0", "gateway": "2001:db8:0:1::2"}]}]
        for i in range(number, size.institutions, OPERATORS):
            place = i // OPERATORS
            address = first + 16 * place
            names.append(f"{name}-institution-{place}")
            document["institutions"].append({
                "id": names[-1], "operator": name, "kind": "pharmacy", "certificate": size.text, "application": size.text,
                "prefixes": [f"{text_of(address + each * k)}/{length}" for k in range(size.prefixes_each)] +
                            [f"2001:db8:{0x4000 + number:x}:{place * size.prefixes_each + k:x}::/64" for k in range(size.prefixes_each)],
                "links": [{"method": "ip_vpn", "access_line_operator": size.text, "cpe": size.text, "demarcation": size.text,
                           "attachments": [f"{name}-{place % ATTACHMENTS_EACH}"]}]})
    chooser = random.Random(11)
    for i in range(AGREEMENTS):
        client, service = chooser.sample(names, 2)
        document["agreements"].append({"id": f"agreement-{i}", "protocol": "tcp", "ports": [chooser.choice([80, 443, 2575, 8443, 11112])],
                                       "state": "stateless", "clients": {"institutions": [client]}, "services": {"institutions": [service]}})
    return document


def write_large_policy(file, case, size):
    """In a process of its own: what a child is said to have needed at most begins with what its parent has."""
    def write():
        with file.open("w") as out:
            json.dump(large_policy(case, size), out)
    process = multiprocessing.get_context("fork").Process(target=write)
    process.start()
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"{file} was not written")


def lost(before, after):
    """Drops by reason that the replay itself does not cause."""
    old = {item["reason"]: item["count"] for item in before["items"]}
    return {item["reason"]: item["count"] - old.get(item["reason"], 0) for item in after["items"]
            if item["reason"] not in OF_THE_REPLAY and item["count"] > old.get(item["reason"], 0)}


def megabytes(pid, name):
    """A line of /proc/PID/status, in MB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"no {name} in /proc/{pid}/status")


def apply(hub, build, file):
    """Seconds in all, what commit said, and the most memory that sekishoctl had, in MB."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([build / "control/sekishoctl", "--socket", hub.socket, "--json", "apply", file], stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{file} was refused")
        out.seek(0)
        return time.monotonic() - begin, json.load(out), usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--million", action="store_true", help="a million prefixes of each family")
    options = parser.parse_args()
    size = MILLION if options.million else USUAL
    runs = options.runs or (1 if options.million else 5)
    case = path.Case("apply", 4, 1000, 1000, 64)
    seconds, compiling, cli = [], [], 0
    with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as directory:
        work = pathlib.Path(directory)
        small, large, capture = work / "small.json", work / "large.json", work / "packets.pcap"
        small.write_text(json.dumps(path.policy_of(case)))
        write_large_policy(large, case, size)
        port.write_pcap(capture, path.packets_of(case))
        devargs = f"net_pcap0,rx_pcap={capture},infinite_rx=1"
        with path.Sekishod(options.build, devargs, small, work, path.choose_memory()) as hub:
            time.sleep(1)
            before, received = hub.ctl("show", "drops"), hub.packets()
            idle = megabytes(hub.process.pid, "VmRSS")
            for _ in range(runs):
                taken, committed, memory = apply(hub, options.build, large)
                seconds.append(taken)
                compiling.append(committed["tables"]["microseconds"] / 1e6)
                times = ", ".join(f"{name} {microseconds / 1e6:.2f} s" for name, microseconds in committed["times"].items())
                cli = max(cli, memory)
                resident = megabytes(hub.process.pid, "VmRSS")
                apply(hub, options.build, small)
            peak = megabytes(hub.process.pid, "VmHWM")
            forwarded = hub.packets() - received
            losses = lost(before, hub.ctl("show", "drops"))
            node = hub.ctl("show", "counters")["node"]
        text_megabytes = large.stat().st_size / 1e6
    if losses or node["unaccounted"]:
        raise SystemExit(f"packets were lost: {losses}, unaccounted {node['unaccounted']}")
    judged = seconds if size.goal_of == "apply" else compiling
    value = statistics.median(judged)
    tables = committed["tables"]["table_bytes"] / 1e6
    print(f"{size.goal_of} of {size.words}: {value:.2f} s "
          f"({min(judged):.2f} to {max(judged):.2f}); goal {size.goal_seconds} s: {'met' if value < size.goal_seconds else 'NOT met'}\n"
          f"   the apply in all {statistics.median(seconds):.2f} s for {text_megabytes:.0f} MB of JSON; "
          f"{forwarded} packets meanwhile, none lost\n"
          f"   by step: {times}\n"
          f"   memory in MB: sekishod {idle:.0f} before, {resident:.0f} with it, {peak:.0f} at most; sekishoctl {cli:.0f} at most; "
          f"lookup tables {tables:.0f}")
    if options.json:
        options.json.write_text(json.dumps([{
            "bench": "apply", "case": f"{size.goal_of}: {size.words}, under traffic", "value": round(value, 3),
            "unit": "s", "peer": None, "peer_value": None, "ratio": None, "goal": size.goal_seconds, "met": value < size.goal_seconds,
            "runs": len(judged), "spread": [round(min(judged), 3), round(max(judged), 3)],
            "memory_megabytes": {"sekishod": round(resident), "sekishod_peak": round(peak), "sekishoctl": round(cli), "tables": round(tables)}}],
            indent=1) + "\n")


if __name__ == "__main__":
    main()

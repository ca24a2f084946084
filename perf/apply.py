#!/usr/bin/env python3
"""A large policy applied while traffic flows: how long it takes, and whether a packet is lost.

sekishod forwards replayed packets of a small policy; then a document of 256 operators, 1,024 attachments, 50,000 institutions with an
IPv4 and an IPv6 prefix each, and 10,000 agreements is applied, the small policy's objects among them. Afterwards every packet that
came must have been sent, but for the few before the next hop's address was known.
"""
import argparse
import json
import pathlib
import random
import statistics
import tempfile
import time

import path
import pcap_port as port

OPERATORS, ATTACHMENTS_EACH, INSTITUTIONS, AGREEMENTS = 254, 4, 49000, 10000
GOAL_SECONDS = 5
# What the replay itself causes: it asks for the hub's address over and over, and begins before the next hop is known.
OF_THE_REPLAY = {"local_rate", "neighbour_hold_full", "attachment_unknown"}


def large_policy(case):
    """The small policy and many operators beside it, all in one address space."""
    document = path.policy_of(case)
    document["hub"]["pools"] += ["172.16.0.0/12", "2001:db8:4000::/34"]
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
        first = (172 << 24 | 16 << 16) + number * 4096
        block = f"{first >> 24}.{first >> 16 & 255}.{first >> 8 & 255}.{first & 255}"
        document["translations"] += [
            {"id": f"{name}-v4", "operator": name, "kind": "prefix_map", "operator_prefix": "10.0.0.0/20", "hub_prefix": block + "/20"},
            {"id": f"{name}-v6", "operator": name, "kind": "prefix_map", "operator_prefix": "fd00::/48",
             "hub_prefix": f"2001:db8:{0x4000 + number:x}::/48"}]
        document["routes"] += [
            {"operator": name, "prefix": "10.0.0.0/20", "nexthops": [{"attachment": f"{name}-0", "gateway": "192.0.2.2"}]},
            {"operator": name, "prefix": "fd00::/48", "nexthops": [{"attachment": f"{name}-0", "gateway": "2001:db8:0:1::2"}]}]
        for i in range(number, INSTITUTIONS, OPERATORS):
            place = i // OPERATORS
            address = first + 16 * place
            names.append(f"{name}-institution-{place}")
            document["institutions"].append({
                "id": names[-1], "operator": name, "kind": "pharmacy", "certificate": "x", "application": "x",
                "prefixes": [f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}/28",
                             f"2001:db8:{0x4000 + number:x}:{place:x}::/64"],
                "links": [{"method": "ip_vpn", "access_line_operator": "x", "cpe": "x", "demarcation": "x",
                           "attachments": [f"{name}-{place % ATTACHMENTS_EACH}"]}]})
    chooser = random.Random(11)
    for i in range(AGREEMENTS):
        client, service = chooser.sample(names, 2)
        document["agreements"].append({"id": f"agreement-{i}", "protocol": "tcp", "ports": [chooser.choice([80, 443, 2575, 8443, 11112])],
                                       "state": "stateless", "clients": {"institutions": [client]}, "services": {"institutions": [service]}})
    return document


def lost(before, after):
    """Drops by reason that the replay itself does not cause."""
    old = {item["reason"]: item["count"] for item in before["items"]}
    return {item["reason"]: item["count"] - old.get(item["reason"], 0) for item in after["items"]
            if item["reason"] not in OF_THE_REPLAY and item["count"] > old.get(item["reason"], 0)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    case = path.Case("apply", 4, 1000, 1000, 64)
    seconds, forwarded = [], 0
    with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as directory:
        work = pathlib.Path(directory)
        small, large, capture = work / "small.json", work / "large.json", work / "packets.pcap"
        small.write_text(json.dumps(path.policy_of(case)))
        large.write_text(json.dumps(large_policy(case)))
        port.write_pcap(capture, path.packets_of(case))
        devargs = f"net_pcap0,rx_pcap={capture},infinite_rx=1"
        with path.Sekishod(options.build, devargs, small, work, path.choose_memory()) as hub:
            time.sleep(1)
            before, received = hub.ctl("show", "drops"), hub.packets()
            for _ in range(options.runs):
                begin = time.monotonic()
                if hub.ctl("apply", str(large)) is None:
                    raise SystemExit("the large policy was refused")
                seconds.append(time.monotonic() - begin)
                if hub.ctl("apply", str(small)) is None:
                    raise SystemExit("the small policy was refused")
            forwarded = hub.packets() - received
            losses = lost(before, hub.ctl("show", "drops"))
            node = hub.ctl("show", "counters")["node"]
    if losses or node["unaccounted"]:
        raise SystemExit(f"packets were lost: {losses}, unaccounted {node['unaccounted']}")
    value = statistics.median(seconds)
    print(f"apply of 256 operators, 1,024 attachments, 100,000 prefixes, 10,000 agreements: {value:.2f} s "
          f"({min(seconds):.2f} to {max(seconds):.2f}); goal {GOAL_SECONDS} s: {'met' if value < GOAL_SECONDS else 'NOT met'}\n"
          f"   {forwarded} packets meanwhile, none lost")
    if options.json:
        options.json.write_text(json.dumps([{
            "bench": "apply", "case": "256 operators, 1,024 attachments, 100,000 prefixes, 10,000 agreements, under traffic", "value": round(value, 3),
            "unit": "s", "peer": None, "peer_value": None, "ratio": None, "goal": GOAL_SECONDS, "met": value < GOAL_SECONDS,
            "runs": len(seconds), "spread": [round(min(seconds), 3), round(max(seconds), 3)]}], indent=1) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""How fast SAs are installed end to end: requests over the control socket, numbers from the ledger, the audit log, the workers.

One operator with very many tunnels over one underlay; a port that neither receives nor sends. Each tunnel gets an inbound and an
outbound SA with keys of its own, in requests of one pair, as an IKE daemon makes them, and of many pairs, as after a restart. Up
to WINDOW requests are under way at a time. Timed from the first request to the last answer; then all are removed again.
"""
import argparse
import ipaddress
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import time

from program import Program

TUNNELS, WINDOW, SECONDS_OF_JAPAN = 3000, 64, 9 * 3600  # their keys are 7 MB, and many systems let 8 be locked
CASES = [("a pair a request", 1, 5000), ("1,000 pairs a request", 1000, None)]  # SAs a second at least


def policy():
    document = {"hub": {"rules_version": "bench", "pools": ["100.64.0.0/10"]}, "translations": [], "institutions": [], "agreements": [], "routes": [],
                "gates": [], "operators": [{"id": "kita", "name": "kita", "certification": {
                    "number": "kita", "valid_from": "2026-04-01", "valid_until": "2099-03-31", "expiry_action": "warn"}}]}
    common = {"operator": "kita", "session_management": "none", "family": "ipv4", "demarcation": "bench"}
    document["attachments"] = [{**common, "id": "line", "port": "p0", "underlay": True, "method": "leased_line", "protection": "none",
                                "mac": "02:00:00:00:00:01", "ipv4": "192.0.2.1/30"}]
    document["routes"] = [{"operator": "kita", "prefix": "198.18.0.0/15", "nexthops": [{"attachment": "line", "gateway": "192.0.2.2"}]}]
    document["tunnels"] = []
    peer, own = int(ipaddress.ip_address("198.18.0.1")), int(ipaddress.ip_address("172.16.0.1"))
    for number in range(TUNNELS):
        document["attachments"].append({**common, "id": f"a{number}", "tunnel": f"t{number}", "method": "ip_vpn", "protection": "esp",
                                        "ipv4": f"{ipaddress.ip_address(own + number)}/32"})
        document["tunnels"].append({
            "id": f"t{number}", "underlay": "line", "peer": str(ipaddress.ip_address(peer + number)), "suite": "aes_gcm_128", "esn": True,
            "keys": "manual", "selectors": [{"local": "100.64.0.0/10", "remote": "10.0.0.0/8"}]})
    return document


class Sekishod(Program):
    def __init__(self, build, work):
        (work / "policy.json").write_text(json.dumps(policy()))
        self.control, self.work = build / "control", work
        command = [self.control / "sekishod", "--socket", work / "socket", "--state-dir", work / "state", "--policy", work / "policy.json",
                   "--port", "p0=net_null0", "--no-huge", "--memory", 512, "--buffers", 8192, "--manual-keys", "local_ledger",
                   "--lcores", "0@0,1@1", "--workers", 1, "--file-prefix", f"sk-bench-{os.getpid()}"]
        super().__init__(command, work / "log")

    def ctl(self, *words):
        done = subprocess.run([str(self.control / "sekishoctl"), "--socket", str(self.work / "socket"), *words], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(words)}: {done.stderr}{(self.work / 'log').read_text()}")
        return done.stdout


def requests(run, pairs, created):
    """Lines of JSON-RPC, `pairs` tunnels each: keys and SPIs that no other run has."""
    lines = []
    for first in range(0, TUNNELS, pairs):
        sas = []
        for number in range(first, min(first + pairs, TUNNELS)):
            spi = 1000 + 2 * (run * TUNNELS + number)
            sas.append({"tunnel": f"t{number}", "created": created, **{
                side: {"spi": spi + more, "key": os.urandom(20).hex()} for more, side in enumerate(("inbound", "outbound"))}})
        lines.append(json.dumps({"jsonrpc": "2.0", "id": first, "method": "sa.install", "params": {"sas": sas}}).encode() + b"\n")
    return lines


def exchange(place, lines):
    """Seconds until every line was answered."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(place))
        answers = connection.makefile("rb")
        begin = time.monotonic()
        for number, line in enumerate(lines):
            connection.sendall(line)
            if number >= WINDOW:
                check(answers.readline())
        for _ in range(min(WINDOW, len(lines))):
            check(answers.readline())
        return time.monotonic() - begin


def check(answer):
    if b'"result"' not in answer:
        raise SystemExit(f"refused: {answer.decode()}")


def installed(hub):
    return len(json.loads(hub.ctl("--json", "show", "sa"))["items"])


def measure(hub, runs, run_of, pairs):
    rates = []
    for _ in range(runs):
        created = time.strftime("%Y-%m-%dT%H:%M:%S+09:00", time.gmtime(time.time() + SECONDS_OF_JAPAN))
        lines = requests(next(run_of), pairs, created)
        rates.append(2 * TUNNELS / exchange(hub.work / "socket", lines))
        if installed(hub) != 2 * TUNNELS:
            raise SystemExit("some are not there")
        removals = [json.dumps({"jsonrpc": "2.0", "id": first, "method": "sa.remove", "params": {
            "sas": [{"tunnel": f"t{number}"} for number in range(first, min(first + 1000, TUNNELS))]}}).encode() + b"\n" for first in range(0, TUNNELS, 1000)]
        exchange(hub.work / "socket", removals)
        time.sleep(2)  # their keys die when the workers and the ledger have let go of them
    return rates


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as work, Sekishod(options.build.resolve(), pathlib.Path(work)) as hub:
        hub.ctl("wait-ready", "--timeout", "60")
        hub.ctl("ledger", "new")
        time.sleep(1.1)  # manual keys are younger than the ledger, by its seconds
        run_of = iter(range(1000))
        for name, pairs, goal in CASES:
            rates = measure(hub, options.runs, run_of, pairs)
            value, spread = statistics.median(rates), [round(min(rates)), round(max(rates))]
            met = None if goal is None else value >= goal
            verdict = "" if goal is None else f"; goal {goal:,}: {'met' if met else 'NOT met'}"
            print(f"{2 * TUNNELS:,} SAs over the control socket, {name}: {value:,.0f} SAs/s ({spread[0]:,} to {spread[1]:,}){verdict}",
                  flush=True)
            rows.append({"bench": "installs", "case": f"SAs over the control socket, {name}", "value": round(value), "unit": "SAs/s", "peer": None,
                         "peer_value": None, "ratio": None, "goal": goal, "met": met, "runs": len(rates), "spread": spread})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

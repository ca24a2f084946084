#!/usr/bin/env python3
"""How fast SAs come from the policy store: from the first put into etcd to the last one that sekishod has installed.

A real etcd on loopback, an agent, and perf/installs.py's sekishod with very many tunnels. The keys of a pair a tunnel are wrapped beforehand
(sekisho-agent wrap), for that is done elsewhere, and then put, a hundred objects in each of etcd's transactions. Timed until `show.sa` has all of
them.
"""
import argparse
import base64
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import installs
import store

TOGETHER = 100  # of etcd's transactions, which have 128 at most


def wrapped(agent, work, run):
    """Objects with keys and SPIs that no other run has: (key, value) pairs."""
    created = time.strftime("%Y-%m-%dT%H:%M:%S+09:00", time.gmtime(time.time() + installs.SECONDS_OF_JAPAN))
    sas = [sa for line in installs.requests(run, 1000, created) for sa in json.loads(line)["params"]["sas"]]
    words = [*agent, "wrap", "-", "--to", work / "node.pem", "--by", work / "maker.key"]
    made = subprocess.run([str(word) for word in words], input=json.dumps({"sas": sas}), capture_output=True, text=True, check=True)
    return [(line["key"], line["value"]) for line in map(json.loads, made.stdout.splitlines())]


def coded(text):
    return base64.b64encode(text.encode()).decode()


def put(etcd, objects):
    for first in range(0, len(objects), TOGETHER):
        etcd.ask("txn", {"success": [{"request_put": {"key": coded(key), "value": coded(value)}} for key, value in objects[first:first + TOGETHER]]})


def erase(etcd, objects):
    for first in range(0, len(objects), TOGETHER):
        etcd.ask("txn", {"success": [{"request_delete_range": {"key": coded(key)}} for key, _ in objects[first:first + TOGETHER]]})


def until(hub, control, count):
    """First the last tunnel, which is cheap to ask for; then all, which is counted."""
    begin = time.monotonic()
    while bool(control.ask("show.sa", tunnel=f"t{installs.TUNNELS - 1}")["items"]) != bool(count):
        if time.monotonic() - begin > 120:
            raise SystemExit(f"{count} SAs do not come about\n{(hub.work / 'agent.log').read_text()[-2000:]}")
        time.sleep(0.002)
    while installs.installed(hub) != count:
        time.sleep(0.01)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    build, count = options.build.resolve(), 2 * installs.TUNNELS
    with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as directory:
        work = pathlib.Path(directory)
        for name in ("node", "maker"):
            subprocess.run(f"openssl genpkey -algorithm x25519 -out {name}.key && openssl pkey -in {name}.key -pubout -out {name}.pem", shell=True,
                           cwd=work, check=True)
        etcd = store.Etcd(work)
        follower = None
        try:
            with installs.Sekishod(build, work) as hub, open(work / "agent.log", "w") as log:
                hub.ctl("wait-ready", "--timeout", "60")
                hub.ctl("ledger", "new")
                time.sleep(1.1)  # manual keys are younger than the ledger, by its seconds
                agent = [build / "agent/sekisho-agent", "--etcd", etcd.endpoint, "--node", "hub-1", "--socket", work / "socket"]
                words = [*agent, "--node-key", work / "node.key", "--keys-from", work / "maker.pem", "run"]
                follower = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log)
                control = store.Control(work / "socket")
                rates = []
                for run in range(options.runs):
                    objects = wrapped(agent, work, run)
                    begin = time.monotonic()
                    put(etcd, objects)
                    until(hub, control, count)
                    rates.append(count / (time.monotonic() - begin))
                    erase(etcd, objects)
                    until(hub, control, 0)
                    time.sleep(2)  # their keys die when the workers and the ledger have let go of them
        finally:
            if follower is not None:
                follower.kill()
                follower.wait()
            etcd.stop()
    value, spread = statistics.median(rates), [round(min(rates)), round(max(rates))]
    met = value >= 5000
    print(f"{count:,} SAs from etcd to installed: {value:,.0f} SAs/s ({spread[0]:,} to {spread[1]:,}); goal 5,000: {'met' if met else 'NOT met'}")
    if options.json:
        options.json.write_text(json.dumps([{
            "bench": "keys", "case": "SAs from etcd to installed", "value": round(value), "unit": "SAs/s", "peer": None, "peer_value": None,
            "ratio": None, "goal": 5000, "met": met, "runs": len(rates), "spread": spread}], indent=1) + "\n")


if __name__ == "__main__":
    main()

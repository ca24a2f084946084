#!/usr/bin/env python3
"""A policy store at the hub's size: how long a node takes to load all of it, and one changed object to reach the fast path.

A real etcd on loopback gets the policy of perf/apply.py (sekisho-agent import), under a hold, so that writing it and loading it are
timed apart. The agent then loads it into a sekishod that begins with nothing. Then one object is changed, of each kind in turn and again
and again: from the moment of the put to the moment at which `version` tells a new generation, which is published by then. Beside it, in
the same run, the same change by the control socket alone: the difference is what store and agent take, the rest is sekishod's commit.
"""
import argparse
import base64
import dataclasses
import http.client
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import time

import apply
import path

PREFIX = "/sekisho/hub/policy/"


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class Etcd:
    """Written to by its JSON gateway, over one connection: a put costs no process."""

    def __init__(self, work):
        client, peer = free_port(), free_port()
        self.endpoint = f"http://127.0.0.1:{client}"
        self.log = open(work / "etcd.log", "w")
        self.process = subprocess.Popen(
            ["etcd", "--data-dir", work / "etcd", "--listen-client-urls", self.endpoint, "--advertise-client-urls", self.endpoint,
             "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
             "--initial-cluster", f"default=http://127.0.0.1:{peer}", "--quota-backend-bytes", str(8 << 30)], stdout=self.log, stderr=self.log)
        self.port = client
        for _ in range(200):
            try:
                self.put("bench", "begins")
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit((work / "etcd.log").read_text())

    def ask(self, method, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("POST", f"/v3/kv/{method}", json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"etcd: {text}")
        return json.loads(text)

    def put(self, key, value):
        self.ask("put", {"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value.encode()).decode()})

    def delete(self, key):
        self.ask("deleterange", {"key": base64.b64encode(key.encode()).decode()})

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


class Control:
    """The control socket over one connection."""

    def __init__(self, place):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(place))
        self.lines = self.socket.makefile("r")

    def ask(self, method, **params):
        self.socket.sendall((json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\n").encode())
        answer = json.loads(self.lines.readline())
        if "result" not in answer:
            raise SystemExit(f"{method}: {answer}")
        return answer["result"]

    def generation(self):
        return self.ask("version")["generation"]


def until_generation(control, beyond, longest=60):
    begin = time.monotonic()
    while control.generation() <= beyond:
        if time.monotonic() - begin > longest:
            raise SystemExit(f"generation {beyond} was not followed in {longest} s")
        time.sleep(0.001)


# In what is left of the pool.
SHARED = {"id": "bench-shared", "operator": "operator-0", "kind": "port_block", "operator_prefix": "172.30.0.0/16", "hub_prefix": "44.255.0.0/30",
          "port_block": {"per": "host", "subscribers": 10}}


def line_of(control, operator):
    """The links of some institution of the operator's."""
    return next(each for each in control.ask("show.policy", kind="institutions", limit=1000)["objects"] if each["operator"] == operator)["links"]


def changes_of(control):
    """By kind: one object of it that is there, or for gates and operators one that is not, and what makes it differ from run to run."""
    def first(kind, wanted=lambda each: True):
        return next(each for each in control.ask("show.policy", kind=kind, limit=1000)["objects"] if wanted(each))

    institution = first("institutions", lambda each: each["id"].startswith("operator-"))
    attachment = first("attachments", lambda each: "tunnel" in each)
    line = first("attachments", lambda each: "tunnel" not in each and not each.get("underlay") and each["id"].startswith("operator-"))
    underlay = first("attachments", lambda each: each.get("underlay") and each["id"].startswith("operator-"))
    route = first("routes", lambda each: each["operator"].startswith("operator-"))
    newcomer = first("operators")
    hidden = {**institution, "id": "bench-hidden", "operator": SHARED["operator"], "links": line_of(control, SHARED["operator"])}
    del hidden["prefixes"]
    numbered = first("translations", lambda each: each["id"] == "operator-0-v4")
    length = numbered["operator_prefix"].split("/")[1]
    return {
        "institutions": (institution["id"], lambda run: {**institution, "application": f"bench {run}"}),
        "institutions, one behind a port block": ("bench-hidden", lambda run: {**hidden, "operator_prefixes": [f"172.30.{run}.0/24"]}),
        "translations, a port block that comes": ("bench-block-{run}", lambda run: {
            **SHARED, "id": f"bench-block-{run}", "operator_prefix": f"172.29.{run}.0/24", "hub_prefix": f"44.255.1.{4 * run}/30"}),
        "translations, of all numbers of an operator": (numbered["id"], lambda run: {**numbered, "operator_prefix": f"10.{128 * ((run + 1) % 2)}.0.0/{length}"}),
        "agreements": (first("agreements")["id"], lambda run: {**first("agreements"), "ports": [9000 + run % 7]}),
        "gates": ("bench", lambda run: {"id": "bench", "target": "institution", "target_id": institution["id"], "reason": "emergency",
                                        "notice": f"bench {run}"}),
        "routes": (f"{route['operator']}/{route['prefix']}", lambda run: {**route, "nexthops": [{**route["nexthops"][0], "weight": 1 + run % 7}]}),
        "operators, one that comes": ("bench-{run}", lambda run: {**newcomer, "id": f"bench-{run}"}),
        "tunnels": (attachment["tunnel"], lambda run: {**first("tunnels", lambda each: each["id"] == attachment["tunnel"]),
                                                       "replay_window": 64 << run % 7}),
        "attachments, a tunnel's": (attachment["id"], lambda run: {**attachment, "mtu": 1300 + run % 50}),
        "attachments, a line": (line["id"], lambda run: {**line, "mtu": 1400 + run % 50}),
        "attachments, an underlay with its tunnels": (underlay["id"], lambda run: {**underlay, "mtu": 1400 + run % 50})}


def by_socket(control, kind, value):
    """Milliseconds of a commit of one object."""
    begin = time.monotonic()
    transaction = control.ask("begin")["transaction"]
    control.ask("batch", transaction=transaction, put={kind.split(",")[0]: [value]})
    control.ask("commit", transaction=transaction)
    return 1000 * (time.monotonic() - begin)


def report(case, values, unit, goal=None, peer=None, more=None):
    value = statistics.median(values)
    spread = [round(min(values), 3), round(max(values), 3)]
    met = None if goal is None else value < goal
    words = "" if goal is None else f"; goal {goal} {unit}: {'met' if met else 'NOT met'}"
    print(f"{case}: {value:.3f} {unit} ({spread[0]} to {spread[1]}){words}{'; ' + more if more else ''}")
    beside = None if peer is None else round(peer, 3)
    return {"bench": "store", "case": case, "value": round(value, 3), "unit": unit, "peer": None if peer is None else "control socket alone",
            "peer_value": beside, "ratio": None if peer is None else round(value / peer, 3), "goal": goal, "met": met, "runs": len(values), "spread": spread}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=5, help="changes of one object")
    parser.add_argument("--institutions", type=int, default=500000, help="with two prefixes of each family")
    options = parser.parse_args()
    size = dataclasses.replace(apply.MILLION, institutions=options.institutions)
    words = f"{options.institutions} institutions, {2 * options.institutions} + {2 * options.institutions} prefixes"
    case = path.Case("store", 4, 1000, 1000, 64)
    apply.OPERATORS -= 2 * options.runs  # a node has numbers for 256: some are left for those that come
    results = []
    with tempfile.TemporaryDirectory(prefix="sekisho-bench-") as directory:
        work = pathlib.Path(directory)
        apply.write_large_policy(work / "policy.json", case, size)
        etcd = Etcd(work)
        sekishod = agent = None
        try:
            agent_command = [options.build / "agent/sekisho-agent", "--etcd", etcd.endpoint, "--node", "hub-1", "--socket", work / "s"]
            begin = time.monotonic()
            subprocess.run([*agent_command, "import", work / "policy.json"], check=True, stdout=subprocess.DEVNULL)
            results.append(report(f"import into etcd: {words}", [time.monotonic() - begin], "s"))

            log = open(work / "log", "w")
            sekishod = subprocess.Popen(
                [options.build / "control/sekishod", "--socket", work / "s", "--state-dir", work / "state", "--port", "p0=net_null0", "--no-huge",
                 "--memory", "256", "--buffers", "8192", "--file-prefix", f"sk-bench-{os.getpid()}"], stdout=log, stderr=log)
            subprocess.run([options.build / "control/sekishoctl", "--socket", work / "s", "wait-ready"], check=True)
            control = Control(work / "s")
            begin = time.monotonic()
            agent = subprocess.Popen([*agent_command, "run"], stdout=log, stderr=log)
            until_generation(control, 0, longest=1800)
            took = time.monotonic() - begin
            tables = control.ask("show.generation")["tables"]
            memory = [apply.megabytes(process.pid, "VmRSS") for process in (agent, sekishod)]
            results.append(report(f"full load from etcd: {words}", [took], "s", 30,
                                  more=f"compiled in {tables['microseconds'] / 1e6:.2f} s; memory in MB: agent {memory[0]:.0f}, sekishod {memory[1]:.0f}"))
            time.sleep(2)
            before = control.generation()
            etcd.put(f"{PREFIX}translations/{SHARED['id']}", json.dumps(SHARED))
            until_generation(control, before)

            changes = changes_of(control)
            by_store, compiling = {kind: [] for kind in changes}, {kind: [] for kind in changes}
            for run in range(options.runs):
                for kind, (name, value) in changes.items():
                    before = control.generation()
                    text = json.dumps(value(run))
                    begin = time.monotonic()
                    etcd.put(f"{PREFIX}{kind.split(',')[0]}/{name.format(run=run)}", text)
                    until_generation(control, before)
                    by_store[kind].append(1000 * (time.monotonic() - begin))
                    compiling[kind].append(control.ask("show.generation")["tables"]["microseconds"] / 1000)
                    time.sleep(0.5)
            agent.terminate()
            agent.wait()
            for kind, (_, value) in changes.items():
                alone = []
                for run in range(options.runs):
                    alone.append(by_socket(control, kind, value(options.runs + run)))
                    time.sleep(0.5)
                peer = statistics.median(alone)
                results.append(report(f"one changed object of {kind}: {words}", by_store[kind], "ms", 100, peer,
                                      f"by the control socket alone {peer:.1f} ms, of which compiling {statistics.median(compiling[kind]):.1f} ms"))
            log.close()
        finally:
            for process in (agent, sekishod):
                if process is not None:
                    process.terminate()
                    process.wait()
            etcd.stop()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

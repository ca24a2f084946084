#!/usr/bin/python3
"""A soak: real traffic through two workers while policies are applied, gates move, ports flap and clients ask.

Called with the build directory; needs root. Two operators with the same addresses are network namespaces behind TAP
devices, a third one's port does nothing but flap. What is shown, in SEKISHO_TEST_SECONDS (60 unless it is set):
1. While thousands of rows come and go, gates close and open and the third port flaps, no datagram of the two others is lost.
2. While their own port flaps, datagrams are lost and nothing else: what follows passes whole.
3. At the end every packet is accounted for, nothing is held, the log has no complaint, and memory has not grown.
The pool of packet buffers is small: were one in twenty kept, the traffic would stop.
Exits 77 where it cannot run.
"""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

BUILD = pathlib.Path(sys.argv[1]).resolve()
TRAFFIC = str(pathlib.Path(__file__).with_name("soak_traffic.py").resolve())
SECONDS = max(20, int(os.environ.get("SEKISHO_TEST_SECONDS", "60")))
HERE = f"sk-s{os.getpid()}"
RATE = 1000  # datagrams a second, each answered
BUFFERS = 12288  # 6,144 of them wait in the ports' queues
OTHERS = 2000  # institutions that come and go
TARGETS = ["100.64.1.10", "2001:db8:8001:1::10"]
MAY_GROW_MB = 16  # of memory, over the whole soak: the heap's own unevenness, whatever the soak's length

failures = []


def check(words, right, shown=""):
    print(f"   {'ok' if right else 'FAILED'}: {words}{'' if right else f': {shown}'}", flush=True)
    if not right:
        failures.append(words)


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)


def must(*words):
    result = run(*words)
    if result.returncode != 0:
        raise RuntimeError(f"{words}: {result.stdout}{result.stderr}")


def on(side, *words):
    return ["ip", "netns", "exec", f"{HERE}-{side}", *words]


def operator(document, number, name, hubs, inside):
    document["operators"].append({"id": name, "name": name, "certification": {
        "number": name, "valid_from": "2026-04-01", "valid_until": "2099-03-31", "expiry_action": "warn"}})
    document["attachments"].append({
        "id": name, "operator": name, "port": f"{name}0", "method": "leased_line", "protection": "none", "session_management": "none",
        "family": "dual", "mac": f"02:00:00:00:00:0{number + 1}", "demarcation": "test", "ipv4": "10.1.1.1/24", "ipv6": "fd00:0:0:1::1/64"})
    for here, hub in zip(inside, hubs):
        document["translations"].append({"id": f"{name}-{len(hub)}", "operator": name, "kind": "prefix_map", "operator_prefix": here, "hub_prefix": hub})


def institution(document, name, owner, prefixes):
    document["institutions"].append({
        "id": name, "operator": owner, "kind": "hospital", "certificate": name, "application": name, "prefixes": prefixes,
        "links": [{"method": "leased_line", "access_line_operator": "x", "cpe": "x", "demarcation": "x", "attachments": [owner]}]})


def policy(chooser):
    """a and b as always; of c's institutions, agreements and routes some, other ones each time."""
    document = {"hub": {"rules_version": "soak", "pools": ["100.64.0.0/10", "2001:db8:8000::/33"]}, "operators": [], "attachments": [],
                "institutions": [], "translations": [], "agreements": [], "routes": [], "gates": []}
    for number, name in enumerate("ab"):
        hubs = [f"100.64.{number}.0/24", f"2001:db8:800{number}:1::/64"]
        operator(document, number, name, hubs, ["10.1.1.0/24", "fd00:0:0:1::/64"])
        institution(document, f"{name}-host", name, hubs)
    operator(document, 2, "c", ["100.80.0.0/16", "2001:db8:8002::/48"], ["10.2.0.0/16", "fd00:0:2::/48"])
    document["routes"] += [{"operator": "c", "prefix": "10.2.0.0/16", "nexthops": [{"attachment": "c", "gateway": "10.1.1.9"}]},
                           {"operator": "c", "prefix": "fd00:0:2::/48", "nexthops": [{"attachment": "c", "gateway": "fd00:0:0:1::9"}]}]
    for i in sorted(chooser.sample(range(OTHERS), chooser.randrange(1, OTHERS))):
        institution(document, f"c-{i}", "c", [f"100.80.{i // 16}.{i % 16 * 16}/28", f"2001:db8:8002:{i:x}::/64"])
        if i % 7 == 0:
            document["routes"].append({"operator": "c", "prefix": f"10.2.{i // 16}.{i % 16 * 16}/28", "nexthops": [
                {"attachment": "c", "gateway": "10.1.1.9"}, {"attachment": "c", "gateway": f"10.1.1.{10 + i % 40}", "backup": True}]})
    some = [it["id"] for it in document["institutions"] if it["operator"] == "c"]
    document["agreements"].append({"id": "measured", "protocol": "udp", "ports": [5000], "state": "stateless",
                                   "clients": {"operators": ["a"]}, "services": {"institutions": ["b-host"]}})
    for i in range(chooser.randrange(1, 50)):
        document["agreements"].append({
            "id": f"other-{i}", "protocol": chooser.choice(["tcp", "udp"]), "ports": [chooser.randrange(1, 60000)], "state": "stateless",
            "clients": {"operators": [chooser.choice("ab")]}, "services": {"institutions": chooser.sample(some, min(len(some), 5))}})
    return document


class Hub:
    def __init__(self, work):
        self.work, self.log = work, work / "log"
        (work / "policy.json").write_text(json.dumps(policy(random.Random(0))))
        command = [BUILD / "control/sekishod", "--socket", work / "socket", "--state-dir", work / "state", "--no-huge", "--memory", "256",
                   "--buffers", BUFFERS, "--file-prefix", HERE, "--workers", "2", "--policy", work / "policy.json",
                   *[f"--port={side}0=net_tap{i},iface={HERE}{side}" for i, side in enumerate("abc")]]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
        if self.ctl("wait-ready", "--timeout", "60").returncode != 0:
            raise RuntimeError(self.log.read_text())

    def ctl(self, *words):
        return run(BUILD / "control/sekishoctl", "--socket", self.work / "socket", *words)

    def show(self, what):
        return json.loads(self.ctl("--json", "show", what).stdout)

    def megabytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
        return 0

    def stop(self):
        self.process.terminate()
        return self.process.wait(60)


def make_host(side):
    name = f"{HERE}-{side}"
    must("ip", "netns", "add", name)
    must(*on(side, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.accept_ra=0",
             "net.ipv6.conf.default.router_solicitations=0", "net.ipv4.ipfrag_time=5", "net.ipv6.ip6frag_time=5"))
    must("ip", "link", "set", f"{HERE}{side}", "netns", name)
    for words in (["link", "set", "lo", "up"], ["address", "add", "10.1.1.10/24", "dev", f"{HERE}{side}"]):
        must("ip", "-n", name, *words)
    bring_up(side)


def bring_up(side):
    """Also after it was down, when IPv6 addresses and routes are gone."""
    name = f"{HERE}-{side}"
    for words in (["link", "set", f"{HERE}{side}", "up"], ["address", "replace", "fd00:0:0:1::10/64", "dev", f"{HERE}{side}"],
                  ["route", "replace", "default", "via", "10.1.1.1"], ["route", "replace", "default", "via", "fd00:0:0:1::1"]):
        must("ip", "-n", name, *words)


def traffic(seconds):
    return subprocess.Popen(on("a", "/usr/bin/python3", TRAFFIC, "send", str(seconds), str(RATE), *TARGETS), stdout=subprocess.PIPE, text=True)


class Churn:
    """Everything that changes beside the traffic, each in a thread of its own, until stop()."""

    def __init__(self, hub, seed):
        self.hub, self.chooser, self.ended = hub, random.Random(seed), threading.Event()
        self.applies = self.gates = self.flaps = self.looks = 0
        self.wrong = []
        self.threads = [threading.Thread(target=self.repeat, args=(action,)) for action in (self.apply, self.gate, self.flap, self.look)]
        for thread in self.threads:
            thread.start()

    def repeat(self, action):
        while not self.ended.is_set():
            try:
                action()
            except (OSError, RuntimeError, ValueError, KeyError) as error:
                self.wrong.append(f"{action.__name__}: {error}")
                return

    def demand(self, result, words):
        if result.returncode != 0:
            raise RuntimeError(f"{words}: {result.stdout}{result.stderr}")

    def apply(self):
        file = self.hub.work / "next.json"
        file.write_text(json.dumps(policy(self.chooser)))
        self.demand(self.hub.ctl("apply", file), "apply")
        self.applies += 1

    def gate(self):
        self.demand(self.hub.ctl("gate", "close", "operator", "c", "--id", "soak", "--reason", "emergency"), "gate close")
        self.ended.wait(0.2)
        self.demand(self.hub.ctl("gate", "open", "soak"), "gate open")
        self.gates += 1
        self.ended.wait(0.2)

    def flap(self):
        must("ip", "-n", f"{HERE}-c", "link", "set", f"{HERE}c", "down")
        self.ended.wait(0.3)
        bring_up("c")
        self.flaps += 1
        self.ended.wait(0.7)

    def look(self):
        counters = self.hub.show("counters")
        if counters["node"]["unaccounted"] != 0 or any(port["unaccounted"] != 0 for port in counters["ports"]):
            raise RuntimeError(f"unaccounted: {counters}")
        for what in ("drops", "neighbours", "routes", "workers"):
            self.hub.show(what)
        self.looks += 1
        self.ended.wait(0.1)

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def soak(hub):
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}, {SECONDS} s", flush=True)
    warm = json.loads(traffic(3).communicate()[0])
    check("traffic begins", warm["answered"] > 0, warm)

    churn = Churn(hub, seed)
    time.sleep(min(10, SECONDS / 4))  # the heap has seen large and small policies by now
    before = hub.megabytes()
    result = json.loads(traffic(SECONDS).communicate()[0])
    churn.stop()
    after = hub.megabytes()
    print(f"   {result['sent']} datagrams, {churn.applies} applies, {churn.gates} gates, {churn.flaps} flaps, {churn.looks} looks; "
          f"memory {before:.0f} MB, then {after:.0f} MB", flush=True)
    check("nothing went wrong beside the traffic", not churn.wrong, churn.wrong)
    check("it was a churn", churn.applies >= SECONDS / 10 and churn.gates >= SECONDS / 10 and churn.flaps >= SECONDS / 10)
    check("the traffic went on", result["sent"] >= RATE * SECONDS / 2, result)
    check("no datagram was lost", result["answered"] == result["sent"], f"{result}, {hub.show('drops')['items']}")
    check("memory has not grown", after <= before + MAY_GROW_MB, f"{before:.1f} MB, then {after:.1f} MB")

    flapping = traffic(6)
    for _ in range(5):
        time.sleep(0.6)
        must("ip", "-n", f"{HERE}-b", "link", "set", f"{HERE}b", "down")
        time.sleep(0.3)
        bring_up("b")
    result = json.loads(flapping.communicate()[0])
    check("some pass while their port flaps", 0 < result["answered"], result)
    for _ in range(10):  # a gateway that did not answer is asked again
        if json.loads(traffic(1).communicate()[0])["answered"] > 0:
            break
    result = json.loads(traffic(3).communicate()[0])
    check("and then all do", 0 < result["sent"] == result["answered"], f"{result}, {hub.show('drops')['items']}")

    time.sleep(2)  # first fragments that did not come are given up
    counters = hub.show("counters")
    check("every packet is accounted for", all(part["unaccounted"] == 0 for part in [counters["node"], *counters["ports"]]), counters)
    check("nothing is held", counters["node"]["held"] == 0, counters["node"])
    code = hub.stop()
    log = hub.log.read_text()
    check("it stops well, and its last account balances", code == 0 and "stopped: received" in log and "unaccounted" not in log, log[-2000:])


def main():
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun") or shutil.which("ip") is None:
        print("SKIPPED: needs root, ip and /dev/net/tun")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="sekisho-soak.") as work:
        hub = echo = None
        try:
            hub = Hub(pathlib.Path(work))
            for side in "abc":
                make_host(side)
            echo = subprocess.Popen(on("b", "/usr/bin/python3", TRAFFIC, "echo"))
            time.sleep(0.5)
            soak(hub)
        finally:
            if echo:
                echo.terminate()
                echo.wait()
            if hub and hub.process.poll() is None:
                print(hub.log.read_text()[-4000:])
                hub.stop()
            for side in "abc":
                run("ip", "netns", "delete", f"{HERE}-{side}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Traffic through a hub whose policy store breaks in every way that it has, and is mended again.

Called with the build directory; needs root, etcd and etcdctl. Two operators with the same addresses are network namespaces behind TAP
devices, as in soak_test.py; the policy is in an etcd of three members. In each part no datagram is lost, what is wrong is said, and after the
cure a change of the store is on the node:
1. each member in turn is killed (SIGKILL) and brought back;
2. the agent is killed, and what happened meanwhile is compacted away;
3. the store is full (its quota: NOSPACE);
4. sekishod's state directory is full (a small tmpfs).
Exits 77 where it cannot run.
"""
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import soak_test as soak
from soak_test import BUILD, check, must, run

NODE, PREFIX = "hub-1", "/sekisho/hub/"
QUOTA = 32 << 20
STATE_MB = 24


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Cluster:
    def __init__(self, work):
        self.work = work
        ports = free_ports(6)
        self.clients = [f"http://127.0.0.1:{port}" for port in ports[:3]]
        self.peers = [f"http://127.0.0.1:{port}" for port in ports[3:]]
        self.members = [None] * 3
        for number in range(3):
            self.start(number)
        self.wait()

    def start(self, number):
        together = ",".join(f"m{i}={peer}" for i, peer in enumerate(self.peers))
        with (self.work / f"etcd-{number}.log").open("ab") as log:
            self.members[number] = subprocess.Popen(
                ["etcd", "--name", f"m{number}", "--data-dir", self.work / f"etcd-{number}", "--listen-client-urls", self.clients[number],
                 "--advertise-client-urls", self.clients[number], "--listen-peer-urls", self.peers[number],
                 "--initial-advertise-peer-urls", self.peers[number], "--initial-cluster", together, "--quota-backend-bytes", str(QUOTA)],
                stdout=log, stderr=log)

    def kill(self, number):
        self.members[number].send_signal(signal.SIGKILL)
        self.members[number].wait()
        self.members[number] = None

    def ctl(self, *words):
        live = [url for url, member in zip(self.clients, self.members) if member is not None]
        return run("etcdctl", "--endpoints", ",".join(live), "--command-timeout", "20s", *words)

    def wait(self):
        for _ in range(300):
            if self.ctl("endpoint", "health").returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError("etcd does not come up: " + (self.work / "etcd-0.log").read_text()[-2000:])

    def put(self, key, value):
        """Words, or "" when it is there. While the members choose a leader, again."""
        for _ in range(10):
            done = self.ctl("put", PREFIX + key, value)
            if done.returncode == 0:
                return ""
            if not any(words in done.stderr for words in ("timed out", "leader", "Unavailable", "deadline")):
                break
            time.sleep(1)
        return done.stderr

    def state(self):
        text = self.ctl("get", "--print-value-only", f"{PREFIX}state/{NODE}").stdout
        return json.loads(text) if text.strip() else None

    def stop(self):
        for number, member in enumerate(self.members):
            if member is not None:
                self.kill(number)


class Agent:
    def __init__(self, cluster, hub):
        self.cluster, self.hub, self.log = cluster, hub, hub.work / "agent.log"
        self.start()

    def words(self):
        ends = [word for url in self.cluster.clients for word in ("--etcd", url)]
        return [str(word) for word in [BUILD / "agent/sekisho-agent", *ends, "--node", NODE, "--socket", self.hub.work / "socket"]]

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*self.words(), "run"], stdout=log, stderr=log)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def says(self, words, since=0):
        return eventually(lambda: words in self.log.read_text()[since:])


def eventually(what, seconds=40):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.1)
    return False


class Story:
    """Changes that can be told apart: the name of operator c."""

    def __init__(self, cluster, hub, operator):
        self.cluster, self.hub, self.operator, self.number = cluster, hub, operator, 0

    def change(self):
        self.number += 1
        return self.cluster.put("policy/operators/c", json.dumps({**self.operator, "name": f"c {self.number}"}))

    def runs(self):
        names = [item["object"]["name"] for item in self.hub.show("operators")["items"] if item["id"] == "c"]
        return names == [f"c {self.number}"]

    def arrives(self, words):
        failed = self.change()
        check(f"{words}: a change is on the node", not failed and eventually(self.runs), failed)


def with_traffic(words, seconds, what):
    """What happens while traffic flows, none of which may be lost."""
    print(words, flush=True)
    sender = soak.traffic(seconds)
    what()
    result = json.loads(sender.communicate()[0])
    check(f"{words}: no datagram was lost", 0 < result["sent"] == result["answered"], result)


def members(cluster, story):
    for number in range(3):
        cluster.kill(number)
        story.arrives(f"member {number} is killed")
        cluster.start(number)
        cluster.wait()
        story.arrives(f"member {number} is back")


def compaction(cluster, story, agent):
    agent.kill()
    for _ in range(20):
        story.change()
    revision = json.loads(cluster.ctl("get", "-w", "json", PREFIX).stdout)["header"]["revision"]
    done = cluster.ctl("compact", str(revision))
    check("what happened is compacted", done.returncode == 0, done.stderr)
    agent.start()
    check("an agent that was away reads all of it again", eventually(story.runs))
    story.arrives("after a compaction")


def full_store(cluster, story, agent):
    since = len(agent.log.read_text())
    block = "x" * (1 << 20)
    words = ""
    for number in range(2 * QUOTA >> 20):
        file = cluster.work / "block"
        file.write_text(block)
        with file.open() as value:
            done = subprocess.run(["etcdctl", "--endpoints", cluster.clients[0], "put", f"/fill/{number}"], stdin=value, capture_output=True, text=True,
                                  check=False)
        words = done.stderr
        if done.returncode != 0:
            break
    check("the store is full", "database space exceeded" in words, words)
    check("and says so to who writes", "database space exceeded" in story.change())
    check("the agent says that it cannot tell the node's state", agent.says("database space exceeded", since))
    must("etcdctl", "--endpoints", cluster.clients[0], "del", "--prefix", "/fill/")
    revision = json.loads(cluster.ctl("get", "-w", "json", PREFIX).stdout)["header"]["revision"]
    for words in (["compact", str(revision)], ["defrag"], ["alarm", "disarm"]):
        cluster.ctl(*words)
    check("the node's state is told again", agent.says("the node's state is told again", since))
    story.arrives("after the store was mended")


def full_directory(cluster, story, agent, hub):
    since = len(agent.log.read_text())
    filler = hub.work / "state/filler"
    with filler.open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError:
            pass

    def refused():
        return "the node did not take" in agent.log.read_text()[since:]

    for _ in range(100):  # until what the last pages of the files there have room for is used up
        before = hub.show("generation")["generation"]
        story.change()
        eventually(lambda: refused() or story.runs(), 10)
        if refused():
            break
    check("the agent says that the node did not take it, and why", "No space left on device" in agent.log.read_text()[since:],
          agent.log.read_text()[since:])
    check("the node's state has it", eventually(lambda: "No space left" in ((cluster.state() or {}).get("trouble") or "")))
    check("the old generation runs", hub.show("generation")["generation"] == before)
    filler.unlink()
    check("with room again it is taken by itself", eventually(story.runs))
    story.arrives("after the directory was mended")


def main():
    needs = ("ip", "etcd", "etcdctl")
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun") or not all(map(shutil.which, needs)):
        print("SKIPPED: needs root, /dev/net/tun, " + ", ".join(needs))
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="sekisho-store.") as directory:
        work = pathlib.Path(directory)
        hub = echo = cluster = agent = None
        state = work / "state"
        state.mkdir(mode=0o700)
        must("mount", "-t", "tmpfs", "-o", f"size={STATE_MB}m,mode=0700", "sekisho-test", state)
        try:
            hub = soak.Hub(work)
            for side in "abc":
                soak.make_host(side)
            echo = subprocess.Popen(soak.on("b", "/usr/bin/python3", soak.TRAFFIC, "echo"))
            cluster = Cluster(work)
            document = soak.policy(random.Random(0))
            (work / "imported.json").write_text(json.dumps(document))
            agent = Agent(cluster, hub)
            must(*agent.words(), "import", work / "imported.json")
            story = Story(cluster, hub, document["operators"][2])
            story.arrives("to begin with")
            soak.traffic(3).communicate()  # neighbours are known
            with_traffic("members are killed", 40, lambda: members(cluster, story))
            with_traffic("compaction", 15, lambda: compaction(cluster, story, agent))
            with_traffic("the store is full", 30, lambda: full_store(cluster, story, agent))
            with_traffic("the state directory is full", 15, lambda: full_directory(cluster, story, agent, hub))
            counters = hub.show("counters")
            check("every packet is accounted for", counters["node"]["unaccounted"] == 0, counters["node"])
        finally:
            if soak.failures and agent:
                print(agent.log.read_text()[-4000:])
            if agent:
                agent.kill()
            if cluster:
                cluster.stop()
            if echo:
                echo.terminate()
                echo.wait()
            if hub and hub.process.poll() is None:
                hub.stop()
            for side in "abc":
                run("ip", "netns", "delete", f"{soak.HERE}-{side}")
            must("umount", state)
    sys.exit(1 if soak.failures else 0)


main()

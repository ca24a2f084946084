"""VPP as a peer: one worker on core 1, fed by its own packet generator, whose cost is left out."""
import os
import pathlib
import re
import shutil
import subprocess
import time

from path import HUB_MAC
from program import Program

PATIENCE = 60  # seconds, until the CLI answers
GENERATORS = ("pg-input", "pg1-tx")  # what makes packets and what throws them away


class Vpp(Program):
    """One VPP, set up by CLI lines. `program`: where vpp is, vppctl beside it."""

    def __init__(self, program, work, lines):
        self.control = pathlib.Path(program).parent / "vppctl"
        self.socket = work / "vpp.sock"
        configuration = work / "vpp.conf"
        configuration.write_text(
            f"unix {{ nodaemon cli-listen {self.socket} runtime-dir {work} }}\n"
            f"api-segment {{ prefix sk-bench-{os.getpid()} }}\n"
            "cpu { main-core 0 corelist-workers 1 }\n"
            "memory { main-heap-size 2G main-heap-page-size default-hugepage }\nstatseg { size 512M }\n"
            "buffers { buffers-per-numa 32768 page-size default }\n"
            "logging { default-log-level error }\n")
        super().__init__([program, "-c", configuration], work / "vpp.log")
        end = time.monotonic() + PATIENCE
        while not (self.socket.exists() and self.answers()):
            if time.monotonic() > end or self.process.poll() is not None:
                self.fail("VPP does not answer")
            time.sleep(0.1)
        script = work / "vpp.setup"
        script.write_text("\n".join([
            f"create packet-generator interface pg0 hw-addr {HUB_MAC}", "create packet-generator interface pg1",
            "set interface state pg0 up", "set interface state pg1 up", *lines, ""]))
        self.cli(f"exec {script}")

    def answers(self):
        return subprocess.run([self.control, "-s", self.socket, "show version"], capture_output=True).returncode == 0

    def cli(self, line):
        result = subprocess.run([self.control, "-s", self.socket, line], capture_output=True, text=True)
        if result.returncode != 0 or "unknown" in result.stdout or "error" in result.stdout.lower().split("\n")[0]:
            self.fail(f"{line}: {result.stdout}{result.stderr}")
        return result.stdout

    def generate(self, capture, limit):
        """The capture's packets over and over, `limit` in all (-1: for ever), from pg0."""
        self.cli(f"packet-generator new {{ name bench limit {limit} node ethernet-input interface pg0 pcap {capture} worker 0 }}")
        self.cli("packet-generator enable-stream bench")

    def stop_generating(self):
        self.cli("packet-generator disable-stream bench")
        self.cli("packet-generator delete bench")

    def clear(self):
        self.cli("clear runtime")

    def nodes(self):
        """Packets and cycles a packet since clear(), by node of the worker's graph."""
        worker = re.split(r"Thread \d+ vpp_wk_0", self.cli("show runtime"))[1]
        lines = [line.split() for line in worker.splitlines()]
        return {words[0]: (int(words[3]), float(words[5])) for words in lines if len(words) == 7 and words[3].isdigit()}

    def wait_for(self, packets):
        while self.nodes().get("pg-input", (0, 0))[0] < packets:
            time.sleep(0.05)

    def cycles(self):
        """Cycles a packet since clear(), of all nodes but the generator's."""
        nodes = self.nodes()
        made, sent = (nodes.get(node, (0, 0))[0] for node in GENERATORS)
        if made == 0 or sent < 0.99 * made:
            self.fail(f"VPP sent only {sent} of {made} packets:\n{self.cli('show errors')}")
        return sum(packets * cost for name, (packets, cost) in nodes.items() if name not in GENERATORS) / made


def find(given):
    """The vpp that is given, or the one in PATH; None where there is none."""
    return given or shutil.which("vpp")

"""DPDK's example programs as peers, over any port: l3fwd and ipsec-secgw, each by one thread on core 1.

The programs have no counters that can be read while they run, so packets are taken from DPDK's own telemetry.
"""
import json
import os
import pathlib
import socket
import subprocess
import time

from path import GATEWAY_MAC, eal_arguments, remove_runtime_files
from program import Program

PATIENCE = 60  # seconds, until packets flow


class Example(Program):
    """A program that forwards on its first thread, from port 0 to port 0."""

    def __init__(self, program, devargs, memory, work, devices, arguments):
        self.name, self.prefix = program.name, f"sk-bench-peer-{os.getpid()}"
        self.telemetry = pathlib.Path(f"/run/dpdk/{self.prefix}/dpdk_telemetry.v2")
        command = [program, "--lcores", "1@1", "-a", "0000:00:00.0", "--file-prefix", self.prefix, "--force-max-simd-bitwidth=512", "--vdev", devargs]
        for device in devices:
            command += ["--vdev", device]
        super().__init__([*command, *eal_arguments(memory), "--", *arguments], work / f"{self.name}.log", subprocess.DEVNULL)
        self.worker = self
        self.wait_for_packets()

    def wait_for_packets(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            if self.telemetry.exists() and self.packets() > 0:
                return
            time.sleep(0.1)
        self.fail(f"{self.name} forwards nothing")

    def fail(self, what):
        try:
            super().fail(what)
        finally:
            remove_runtime_files(self.prefix)

    def stop(self):
        super().stop()
        remove_runtime_files(self.prefix)

    def statistics(self):
        """The port's counters, {} where nobody answers yet."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.settimeout(5)
                client.connect(str(self.telemetry))
                client.recv(4096)
                client.send(b"/ethdev/stats,0")
                return json.loads(client.recv(1 << 16))["/ethdev/stats"] or {}
        except OSError:
            return {}

    def packets(self):
        found = self.statistics()
        if found.get("ipackets", 0) > 100_000 and found["opackets"] < 0.99 * found["ipackets"]:
            self.fail(f"{self.name} sent only {found['opackets']} of {found['ipackets']} packets")
        return found.get("ipackets", 0)

    def nanoseconds(self):
        """CPU time of the thread that forwards."""
        return int(pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/schedstat").read_text().split()[0])


class L3fwd(Example):
    """`lookup`: lpm or fib. `routes`: prefixes of one family, all to port 0."""

    def __init__(self, examples, devargs, memory, work, lookup, routes):
        files = {4: work / "rules4", 6: work / "rules6"}
        lines = {4: ["R192.0.2.0/24 0"], 6: ["R2001:db8::/32 0"]}
        lines[routes[0].version] = [f"R{route.network_address.exploded if route.version == 6 else route.network_address}/{route.prefixlen} 0"
                                    for route in routes]
        for family, file in files.items():
            file.write_text("\n".join(lines[family]) + "\n")
        super().__init__(examples / "l3fwd", devargs, memory, work, [], [
            "-p", "0x1", "-P", f"--lookup={lookup}", "--parse-ptype", "--config", "(0,0,1)", f"--rule_ipv4={files[4]}", f"--rule_ipv6={files[6]}"])


class Secgw(Example):
    """ipsec-secgw with one SA, to seal or to open: its library's code path, the crypto device that is fastest, no replay window."""

    def __init__(self, examples, devargs, memory, work, seal, association, inner):
        way, ends = ("out", (association.near, association.far)) if seal else ("in", (association.far, association.near))
        key = ":".join(f"{byte:02x}" for byte in association.key + association.salt)
        target = f"{association.far}/32" if seal else inner
        configuration = work / "secgw.cfg"
        configuration.write_text("\n".join([
            f"sp ipv4 {way} esp protect {association.spi} pri 1 dst {inner} sport 0:65535 dport 0:65535",
            f"sa {way} {association.spi} aead_algo aes-128-gcm aead_key {key} mode ipv4-tunnel src {ends[0]} dst {ends[1]}",
            f"rt ipv4 dst {target} port 0", f"neigh port 0 {GATEWAY_MAC}", ""]))
        super().__init__(examples / "ipsec-secgw", devargs, memory, work, ["crypto_aesni_gcm0"], [
            "-p", "0x1", "-P", *([] if seal else ["-u", "0x1"]), "-l", "-s", "65536", "--config", "(0,0,1)", "-f", str(configuration)])

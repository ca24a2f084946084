#!/usr/bin/env python3
"""sekishod over real NIC drivers: in a virtual machine of qemu's, whose two cards it drives by vfio-pci behind an IOMMU.

    qemu_test.py BUILD-DIR e1000|vmxnet3

The cards' other ends are TAP devices, moved into the namespaces of two operators with the same addresses: ping and TCP in both
families pass through the machine. The cards and the processor are qemu's emulation: what is shown is that DPDK's driver, vfio
and sekishod get on, not how fast. Needs root and Debian's cloud kernel, which it downloads and unpacks, installing nothing;
without what it needs it is skipped (77). Leaves nothing behind.
"""
import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
TOOLS = ["qemu-system-x86_64", "cpio", "ip", "ping", "apt-get", "apt-cache", "dpkg-deb", "ldd"]
MODULES = ["virt/lib/irqbypass", "drivers/vfio/vfio", "drivers/vfio/vfio_virqfd", "drivers/vfio/vfio_iommu_type1",
           "drivers/vfio/pci/vfio-pci-core", "drivers/vfio/pci/vfio-pci"]
BUSYBOX = ["sh", "ln", "mount", "mkdir", "insmod", "cat", "echo", "stty", "cut", "ip", "poweroff"]
DRIVERS = {"e1000": "net_e1000_em", "vmxnet3": "net_vmxnet3"}
SIDES = "ab"


class Skipped(Exception):
    pass


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, **options).stdout


def policy():
    """Both operators number 10.1.1.0/24 and fd00:0:0:1::/64; each host is on the link to the hub itself."""
    document = {"hub": {"rules_version": "test", "pools": ["100.64.0.0/10", "2001:db8:8000::/33"]}, "operators": [], "attachments": [],
                "institutions": [], "translations": [], "agreements": [], "routes": [], "gates": []}
    for number, side in enumerate(SIDES):
        document["operators"].append({"id": side, "name": side, "certification": {
            "number": side, "valid_from": "2020-04-01", "valid_until": "2099-03-31", "expiry_action": "warn"}})
        document["attachments"].append({
            "id": side, "operator": side, "port": f"{side}0", "method": "leased_line", "protection": "none", "session_management": "none",
            "family": "dual", "mac": f"02:00:00:00:00:0{number + 1}", "demarcation": "test", "ipv4": "10.1.1.1/24", "ipv6": "fd00:0:0:1::1/64"})
        hubs = [f"100.64.{number}.0/24", f"2001:db8:800{number}:1::/64"]
        for inside, hub in zip(["10.1.1.0/24", "fd00:0:0:1::/64"], hubs):
            document["translations"].append({"id": f"{side}-{len(hub)}", "operator": side, "kind": "prefix_map", "operator_prefix": inside, "hub_prefix": hub})
        document["institutions"].append({
            "id": f"{side}-host", "operator": side, "kind": "hospital", "certificate": side, "application": side, "prefixes": hubs,
            "links": [{"method": "leased_line", "access_line_operator": "x", "cpe": "x", "demarcation": "x", "attachments": [side]}]})
    for identifier, protocol in ("echo", "icmp_echo"), ("tcp", "tcp"):
        agreement = {"id": identifier, "protocol": protocol, "state": "stateless", "clients": {"operators": ["a"]}, "services": {"institutions": ["b-host"]}}
        if protocol == "tcp":
            agreement["ports"] = [8080]
        document["agreements"].append(agreement)
    return document


def unpack_kernel(work):
    """Debian's cloud kernel below `work`: its directory and its version."""
    depends = run("apt-cache", "depends", "linux-image-cloud-amd64")
    package = re.search(r"Depends: (linux-image-[0-9]\S+)", depends)
    if not package:
        raise Skipped("apt knows no linux-image-cloud-amd64")
    try:
        run("apt-get", "download", package[1], cwd=work)
    except subprocess.CalledProcessError as error:
        raise Skipped(f"{package[1]} cannot be downloaded: {error.stderr.strip()}") from error
    archive = next(work.glob("linux-image-*.deb"))
    run("dpkg-deb", "--extract", archive, work / "kernel")
    return work / "kernel", package[1].removeprefix("linux-image-")


def libraries_of(*programs):
    found = set()
    for program in programs:
        found.update(re.findall(r"(/\S+) \(0x", run("ldd", program)))
    return found


def make_initramfs(work, build, kernel, version):
    tree = work / "root"
    for directory in "bin", "proc", "sys", "dev", "lib/modules":
        (tree / directory).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", tree / "bin/busybox")
    for name in BUSYBOX:
        (tree / "bin" / name).symlink_to("busybox")
    for program in "sekishod", "sekishoctl":
        run("strip", "-o", tree / "bin" / program, build / "control" / program)
    loaded = []
    for module in MODULES:  # some are built in, by version
        file = kernel / f"lib/modules/{version}/kernel/{module}.ko"
        if file.exists():
            shutil.copy(file, tree / "lib/modules")
            loaded.append(file.stem)
    (tree / "modules").write_text(" ".join(loaded))
    plugins = next(pathlib.Path("/usr/lib/x86_64-linux-gnu/dpdk").glob("pmds-*"))
    wanted = [plugin for name in ("bus_pci", "bus_vdev", "mempool_ring", "net_e1000", "net_vmxnet3") for plugin in plugins.glob(f"librte_{name}.so.*.*")]
    assert len(wanted) == 5, wanted
    for plugin in wanted:
        target = tree / str(plugins)[1:]
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(plugin, target)
    for library in libraries_of(build / "control/sekishod", build / "control/sekishoctl", *wanted):
        target = tree / library[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    (tree / "etc").mkdir()
    (tree / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (tree / "policy.json").write_text(json.dumps(policy()))
    shutil.copy(HERE / "qemu_init", tree / "init")
    (tree / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in [tree, *tree.rglob("*")])
    archive = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=tree, input=names.encode(), capture_output=True, check=True).stdout
    (work / "initramfs").write_bytes(gzip.compress(archive, 1))


class Machine:
    def __init__(self, work, kernel, version, card, taps):
        command = ["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "1024", "-display", "none", "-monitor", "none",
                   "-serial", "stdio", "-no-reboot", "-nodefaults", "-device", "intel-iommu,caching-mode=on,intremap=on",
                   "-kernel", kernel / f"boot/vmlinuz-{version}", "-initrd", work / "initramfs",
                   "-append", "console=ttyS0 quiet panic=-1 intel_iommu=on"]
        for number, tap in enumerate(taps):
            command += ["-netdev", f"tap,id=n{number},ifname={tap},script=no,downscript=no",
                        "-device", f"{card},netdev=n{number},mac=52:54:00:00:00:0{number + 1}"]
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        errors="replace")
        self.lines, self.more = [], threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            with self.more:
                self.lines.append(line.rstrip())
                self.more.notify_all()
        with self.more:
            self.lines.append("the machine has ended")
            self.more.notify_all()

    def wait_for(self, pattern, since, seconds):
        """The lines from `since` up to the one that matches."""
        until = time.monotonic() + seconds
        seen = since
        with self.more:
            while True:
                for number in range(seen, len(self.lines)):
                    if re.fullmatch(pattern, self.lines[number]):
                        return self.lines[since:number + 1]
                seen = len(self.lines)
                if time.monotonic() >= until or (self.lines and self.lines[-1] == "the machine has ended"):
                    raise SystemExit("FAILED: the machine did not say " + pattern + ":\n" + "\n".join(self.lines[-60:]))
                self.more.wait(1)

    def ask(self, command, seconds=60):
        since = len(self.lines)
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.wait_for(r"done \d+", since, seconds)
        if answer[-1] != "done 0":
            raise SystemExit(f"FAILED: {command} in the machine:\n" + "\n".join(answer))
        return "\n".join(answer[:-1])

    def show(self, what):
        return json.loads(self.ask(f"sekishoctl --socket /run/control.sock --json show {what}"))

    def stop(self):
        self.process.kill()
        self.process.wait()


def in_ns(side_name, *command, **options):
    return subprocess.run(["ip", "netns", "exec", side_name, *command], capture_output=True, text=True, **options)


def expect(what, condition, more=""):
    if not condition:
        raise SystemExit(f"FAILED: {what}\n{more}")
    print(f"   ok: {what}", flush=True)


def place(name, tap):
    """The TAP device's end of the wire: an operator's host."""
    run("ip", "link", "set", tap, "netns", name)
    run("ip", "-n", name, "address", "add", "10.1.1.10/24", "dev", tap)
    run("ip", "-n", name, "address", "add", "fd00:0:0:1::10/64", "dev", tap, "nodad")
    for device in "lo", tap:
        run("ip", "-n", name, "link", "set", device, "up")
    run("ip", "-n", name, "route", "add", "default", "via", "10.1.1.1")
    run("ip", "-n", name, "route", "add", "default", "via", "fd00:0:0:1::1")


SERVER = """
import socket
listener = socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    peer = listener.accept()[0]
    total = 0
    while data := peer.recv(65536):
        total += len(data)
    peer.sendall(str(total).encode())
    peer.close()
"""
CLIENT = """
import socket, sys
peer = socket.create_connection((sys.argv[1], 8080), 20)
peer.settimeout(60)
peer.sendall(bytes(300000))
peer.shutdown(socket.SHUT_WR)
assert peer.recv(64) == b"300000"
"""


def test(build, card, work, names, taps, machines, servers):
    kernel, version = unpack_kernel(work)
    make_initramfs(work, build, kernel, version)
    began = time.monotonic()
    machine = Machine(work, kernel, version, card, taps)
    machines.append(machine)
    started = machine.wait_for("ready|not ready.*", 0, 240)
    if started[-1] != "ready":
        raise SystemExit("FAILED: sekishod does not run in the machine:\n" + "\n".join(machine.wait_for("ready", 0, 10)[-40:]))
    print(f"   the machine was ready after {time.monotonic() - began:.0f} s", flush=True)
    for name, tap in zip(names, taps):
        place(name, tap)
    ports = machine.show("ports")["items"]
    expect(f"both ports are driven by {DRIVERS[card]}", [port["driver"] for port in ports] == [DRIVERS[card]] * 2, ports)
    servers.append(subprocess.Popen(["ip", "netns", "exec", names[1], sys.executable, "-c", SERVER]))
    for address in "100.64.1.10", "2001:db8:8001:1::10":
        ping = in_ns(names[0], "ping", "-c", "5", "-i", "0.3", "-W", "5", address)
        expect(f"ping to {address}", ping.returncode == 0, ping.stdout + ping.stderr)
        sent = in_ns(names[0], sys.executable, "-c", CLIENT, address)
        expect(f"300,000 bytes by TCP to {address}", sent.returncode == 0, sent.stderr)
    refused = in_ns(names[1], "ping", "-c", "2", "-W", "2", "100.64.0.10")
    expect("against the agreement's direction nothing passes", refused.returncode != 0 and machine.show("counters")["node"]["dropped"].get("not_a_reply", 0) >= 2,
           refused.stdout)
    node = machine.show("counters")["node"]
    expect("every packet is accounted for", node["unaccounted"] == 0 and node["sent"] > 400, node)
    ports = machine.show("ports")["items"]
    expect("the cards missed nothing", all(port["missed"] == 0 and port["receive_errors"] == 0 for port in ports), ports)


def main():
    build, card = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    if os.geteuid() != 0:
        raise Skipped("needs root: network namespaces and TAP devices")
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        raise Skipped("there is no " + ", ".join(missing))
    names = [f"sk-q{os.getpid()}-{side}" for side in SIDES]
    taps = [f"sk-q{os.getpid()}{side}" for side in SIDES]
    machines, servers = [], []
    with tempfile.TemporaryDirectory(prefix="sekisho-qemu-") as work:
        try:
            for name in names:
                run("ip", "netns", "add", name)
                in_ns(name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.accept_ra=0",
                      "net.ipv6.conf.default.router_solicitations=0", check=True)
            test(build, card, pathlib.Path(work), names, taps, machines, servers)
        finally:
            for server in servers:
                server.kill()
                server.wait()
            for machine in machines:
                machine.stop()
            for name in names:
                subprocess.run(["ip", "netns", "delete", name], capture_output=True)


try:
    main()
except Skipped as reason:
    print(f"SKIPPED: {reason}")
    sys.exit(77)

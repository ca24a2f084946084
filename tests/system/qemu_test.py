#!/usr/bin/env python3
"""sekishod over real NIC drivers: in a virtual machine of qemu's, whose two cards it drives by vfio-pci behind an IOMMU.

    qemu_test.py BUILD-DIR e1000|vmxnet3

The cards' other ends are TAP devices, moved into the namespaces of two operators with the same addresses: ping and TCP in both
families pass through the machine. The cards and the processor are qemu's emulation: what is shown is that DPDK's driver, vfio
and sekishod get on, not how fast. Needs root and Debian's cloud kernel, which it downloads and unpacks, installing nothing;
without what it needs it is skipped (77). Leaves nothing behind.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import qemu_machine as qemu
from qemu_machine import Skipped, expect, in_ns, run

MODULES = ["irqbypass", "vfio", "vfio_virqfd", "vfio_iommu_type1", "vfio-pci"]
DRIVERS = {"e1000": "net_e1000_em", "vmxnet3": "net_vmxnet3"}
SIDES = "ab"


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


def make_initramfs(work, build, kernel, version):
    plugins = next(pathlib.Path("/usr/lib/x86_64-linux-gnu/dpdk").glob("pmds-*"))
    wanted = [plugin for name in ("bus_pci", "bus_vdev", "mempool_ring", "net_e1000", "net_vmxnet3") for plugin in plugins.glob(f"librte_{name}.so.*.*")]
    assert len(wanted) == 5, wanted
    qemu.make_initramfs(work, qemu.with_dependencies(kernel, version, MODULES), libraries=wanted,
                        programs=[(build / "control" / name, name) for name in ("sekishod", "sekishoctl")],
                        files=[("policy.json", json.dumps(policy()))], setup=(qemu.HERE / "qemu_hub_setup").read_text())


def show(machine, what):
    """Asked again where a worker does not answer in time: on a busy machine an emulated processor may stand still for seconds."""
    command = f"sekishoctl --socket /run/control.sock --json show {what}"
    for _ in range(10):
        answer = json.loads(machine.ask(f"{command} || true"))
        if answer.get("error", {}).get("data", {}).get("name") != "unavailable":
            return answer
    raise SystemExit(f"FAILED: {command} in the machine, ten times: {answer}")


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
    kernel, version = qemu.unpack_kernel(work)
    make_initramfs(work, build, kernel, version)
    began = time.monotonic()
    machine = qemu.Machine(work, kernel, version, card, taps, memory=1024, processors=2, iommu=True)
    machines.append(machine)
    started = machine.wait_for("ready|not ready.*", 0, 240)
    if started[-1] != "ready":
        raise SystemExit("FAILED: sekishod does not run in the machine:\n" + "\n".join(machine.wait_for("ready", 0, 10)[-40:]))
    print(f"   the machine was ready after {time.monotonic() - began:.0f} s", flush=True)
    for name, tap in zip(names, taps):
        place(name, tap)
    ports = show(machine, "ports")["items"]
    expect(f"both ports are driven by {DRIVERS[card]}", [port["driver"] for port in ports] == [DRIVERS[card]] * 2, ports)
    servers.append(subprocess.Popen(["ip", "netns", "exec", names[1], sys.executable, "-c", SERVER]))
    for address in "100.64.1.10", "2001:db8:8001:1::10":
        ping = in_ns(names[0], "ping", "-c", "5", "-i", "0.3", "-W", "5", address)
        expect(f"ping to {address}", ping.returncode == 0, ping.stdout + ping.stderr)
        sent = in_ns(names[0], sys.executable, "-c", CLIENT, address)
        expect(f"300,000 bytes by TCP to {address}", sent.returncode == 0, sent.stderr)
    refused = in_ns(names[1], "ping", "-c", "2", "-W", "2", "100.64.0.10")
    expect("against the agreement's direction nothing passes", refused.returncode != 0 and show(machine, "counters")["node"]["dropped"].get("not_a_reply", 0) >= 2,
           refused.stdout)
    node = show(machine, "counters")["node"]
    expect("every packet is accounted for", node["unaccounted"] == 0 and node["sent"] > 400, node)
    ports = show(machine, "ports")["items"]
    expect("the cards missed nothing", all(port["missed"] == 0 and port["receive_errors"] == 0 for port in ports), ports)


def main():
    build, card = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    if os.geteuid() != 0:
        raise Skipped("needs root: network namespaces and TAP devices")
    qemu.needs_tools()
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


qemu.main_of(main)

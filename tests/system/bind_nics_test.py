#!/usr/bin/env python3
"""scripts/bind-nics on a sysfs tree of our own: what it writes, in which order, and what it refuses.

The program is called in this process, with its write() replaced by one that plays the kernel: bind, unbind and drivers_probe
move the driver's link.
"""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import pathlib
import sys
import tempfile
import types

PROGRAM = pathlib.Path(__file__).parent.parent.parent / "scripts/bind-nics"
sys.dont_write_bytecode = True


class Kernel:
    """A machine with cards, as sysfs shows it."""

    def __init__(self, root, native="ixgbe"):
        self.root, self.native, self.log, self.broken = root, native, [], set()
        self.devices, self.drivers = root / "bus/pci/devices", root / "bus/pci/drivers"
        self.devices.mkdir(parents=True)
        (root / "module/vfio/parameters").mkdir(parents=True)
        (root / "module/vfio/parameters/enable_unsafe_noiommu_mode").write_text("N\n")
        for driver in "ixgbe", "ahci", "vfio-pci":
            (self.drivers / driver).mkdir(parents=True)

    def add(self, address, group="7", driver="ixgbe", kind="0x020000", interface=None):
        device = self.devices / address
        device.mkdir()
        for name, text in {"class": kind, "vendor": "0x8086", "device": "0x10fb", "numa_node": "0", "driver_override": "(null)"}.items():
            (device / name).write_text(text + "\n")
        if driver:
            (device / "driver").symlink_to(self.drivers / driver)
        if group:
            members = self.root / "kernel/iommu_groups" / group / "devices"
            members.mkdir(parents=True, exist_ok=True)
            (members / address).symlink_to(device)
            (device / "iommu_group").symlink_to(members.parent)
        if interface:
            (device / "net" / interface).mkdir(parents=True)

    def write(self, path, text):
        self.log.append(f"{path.relative_to(self.root / 'bus/pci') if 'bus' in path.parts else path.name} {text.strip()}")
        if path.name == "bind":
            self.attach(text, path.parent.name)
        elif path.name == "unbind":
            self.detach(text, path.parent.name)
        elif path.name == "drivers_probe":
            self.attach(text, self.native)
        else:
            path.write_text(text)

    def override(self, address):
        return (self.devices / address / "driver_override").read_text().strip()

    def attach(self, address, driver):
        wanted = self.override(address)
        link = self.devices / address / "driver"
        if driver in self.broken or (wanted not in ("(null)", "") and wanted != driver) or link.is_symlink():
            raise OSError(16, "Device or resource busy")
        link.symlink_to(self.drivers / driver)

    def detach(self, address, driver):
        assert self.driver(address) == driver
        (self.devices / address / "driver").unlink()

    def driver(self, address):
        link = self.devices / address / "driver"
        return link.resolve().name if link.is_symlink() else None


def run(kernel, *words, root=None):
    os.environ["SEKISHO_SYSFS"] = str(root or kernel.root)
    loader = importlib.machinery.SourceFileLoader("bind_nics", str(PROGRAM))
    program = importlib.util.module_from_spec(importlib.util.spec_from_loader("bind_nics", loader))
    loader.exec_module(program)
    real = program.write

    def write(path, text, options):
        if options.dry_run:
            return real(path, text, options)
        try:
            kernel.write(path, text)
        except OSError as error:
            raise program.Refused(f"{path}: {error.strerror}") from error

    program.write = write
    sys.argv = ["bind-nics", *words]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = program.main()
        except SystemExit as end:
            code = end.code
    return types.SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def expect(what, condition, more=""):
    if not condition:
        sys.exit(f"FAILED: {what}\n{more}")
    print(f"   ok: {what}")


def fresh(directory, name):
    root = pathlib.Path(directory) / name
    root.mkdir()
    return Kernel(root)


def main():
    with tempfile.TemporaryDirectory(prefix="sekisho-nics-") as directory:
        kernel = fresh(directory, "usual")
        kernel.add("0000:03:00.0", interface="sk-nic-x")
        kernel.add("0000:03:00.1", group="8")
        kernel.add("0000:04:00.0", group="9", driver="ahci", kind="0x010601")
        shown = run(kernel).stdout
        expect("cards are listed, other devices not", "0000:03:00.0" in shown and "sk-nic-x" in shown and "0000:04:00.0" not in shown, shown)
        dry = run(kernel, "--dry-run", "bind", "03:00.0")
        expect("a dry run says what it would write and writes nothing", "would write" in dry.stdout and not kernel.log and
               kernel.override("0000:03:00.0") == "(null)", dry.stdout + dry.stderr)
        done = run(kernel, "bind", "sk-nic-x", "0000:03:00.1")
        expect("two cards are bound, one by its interface's name", done.returncode == 0 and kernel.driver("0000:03:00.0") == "vfio-pci" and
               kernel.driver("0000:03:00.1") == "vfio-pci", done.stderr)
        expect("unbound from the old driver, then bound to the new", kernel.log[:3] == [
            "devices/0000:03:00.0/driver_override vfio-pci", "drivers/ixgbe/unbind 0000:03:00.0", "drivers/vfio-pci/bind 0000:03:00.0"], kernel.log)
        again = run(kernel, "bind", "03:00.0")
        expect("once bound, nothing is done", again.returncode == 0 and "already" in again.stdout and len(kernel.log) == 6, again.stdout)
        back = run(kernel, "unbind", "03:00.0")
        expect("and back to the kernel's own driver", back.returncode == 0 and kernel.driver("0000:03:00.0") == "ixgbe" and
               kernel.override("0000:03:00.0") == "", back.stdout + back.stderr)
        other = run(kernel, "unbind", "03:00.0")
        expect("a card that is not ours is left alone", other.returncode == 0 and "left alone" in other.stdout, other.stdout)

        for words, why in [(["bind", "eth9"], "neither an interface nor a PCI address"), (["bind", "05:00.0"], "no such device"),
                           (["bind", "04:00.0"], "not a network card")]:
            refused = run(kernel, *words)
            expect(f"refused: {why}", refused.returncode == 1 and why in refused.stderr, refused.stdout + refused.stderr)

        kernel = fresh(directory, "refusals")
        kernel.add("0000:03:00.0")
        kernel.add("0000:03:00.1", driver="ahci", kind="0x010601")  # in the same group
        kernel.add("0000:05:00.0", group=None)
        kernel.add("0000:06:00.0", group="9", interface="lo")  # an interface that has an address, on any machine
        kernel.add("0000:07:00.0", group="10")
        for words, why in [(["bind", "03:00.0"], "shares IOMMU group 7 with 0000:03:00.1"), (["bind", "05:00.0"], "in no IOMMU group"),
                           (["bind", "06:00.0"], "interface lo has 127.0.0.1/8")]:
            refused = run(kernel, *words)
            expect(f"refused: {why}", refused.returncode == 1 and why in refused.stderr, refused.stdout + refused.stderr)
        both = run(kernel, "bind", "07:00.0", "05:00.0")
        expect("one that may not be: nothing is done to the other", both.returncode == 1 and not kernel.log and
               kernel.driver("0000:07:00.0") == "ixgbe", both.stderr)
        forced = run(kernel, "bind", "--force", "06:00.0")
        expect("--force takes one in use", forced.returncode == 0 and kernel.driver("0000:06:00.0") == "vfio-pci", forced.stderr)
        unsafe = run(kernel, "bind", "--no-iommu", "05:00.0")
        expect("--no-iommu switches the unsafe mode on", unsafe.returncode == 0 and kernel.driver("0000:05:00.0") == "vfio-pci" and
               (kernel.root / "module/vfio/parameters/enable_unsafe_noiommu_mode").read_text() == "1", unsafe.stderr)

        kernel = fresh(directory, "broken")
        kernel.add("0000:03:00.0")
        kernel.broken = {"vfio-pci"}
        failed = run(kernel, "bind", "03:00.0")
        expect("a bind that fails leaves the card with its old driver", failed.returncode == 1 and "resource busy" in failed.stderr and
               kernel.driver("0000:03:00.0") == "ixgbe" and kernel.override("0000:03:00.0") == "", failed.stderr)

        empty = pathlib.Path(directory) / "empty"
        empty.mkdir()
        expect("no cards at all", "no network card" in run(None, root=empty).stdout)
        expect("nothing to bind is an error of use", run(None, "bind", root=empty).returncode == 2)


main()

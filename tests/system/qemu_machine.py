"""A virtual machine of qemu's with Debian's cloud kernel, for tests: downloaded and unpacked, nothing is installed.

Its only process is qemu_init, which loads modules, does what the test's own setup script says, and then what it is asked for over the
serial line. Cards and processor are qemu's emulation.
"""
import gzip
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).parent
TOOLS = ["qemu-system-x86_64", "cpio", "ip", "ping", "apt-get", "apt-cache", "dpkg-deb", "ldd", "depmod"]
BUSYBOX = ["sh", "ln", "mount", "mkdir", "insmod", "cat", "echo", "stty", "cut", "ip", "poweroff"]


class Skipped(Exception):
    pass


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, **options).stdout


def needs_tools(*more):
    missing = [tool for tool in [*TOOLS, *more] if not shutil.which(tool)]
    if missing:
        raise Skipped("there is no " + ", ".join(missing))


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


def with_dependencies(directory, version, names):
    """Modules by their names, each behind what it needs; those that are not there are built in."""
    modules = directory / f"lib/modules/{version}"
    run("depmod", "-b", directory, version)
    known = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        file, needed = line.split(":")
        known[pathlib.Path(file).stem.replace("-", "_")] = [*reversed(needed.split()), file]
    wanted = []
    for name in names:
        wanted += [modules / file for file in known.get(name.replace("-", "_"), []) if modules / file not in wanted]
    return wanted


def make_initramfs(work, modules, busybox=(), programs=(), libraries=(), files=(), setup=""):
    """`programs`: (what, name inside) with their libraries, stripped; `files`: (path inside, text); `setup`: a shell script."""
    tree = work / "root"
    for directory in "bin", "proc", "sys", "dev", "etc", "lib/modules":
        (tree / directory).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", tree / "bin/busybox")
    for name in [*BUSYBOX, *busybox]:
        (tree / "bin" / name).symlink_to("busybox")
    for program, name in programs:
        run("strip", "-o", tree / "bin" / name, program)
    for module in modules:
        shutil.copy(module, tree / "lib/modules")
    for library in {*map(str, libraries), *libraries_of(*(program for program, _ in programs), *libraries)}:
        target = tree / library[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    told = [("modules", " ".join(module.stem for module in modules)), ("etc/passwd", "root:x:0:0:root:/:/bin/sh\n"), ("setup", setup), *files]
    for name, text in told:
        (tree / name).write_text(text)
    shutil.copy(HERE / "qemu_init", tree / "init")
    (tree / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in [tree, *tree.rglob("*")])
    archive = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=tree, input=names.encode(), capture_output=True, check=True).stdout
    (work / "initramfs").write_bytes(gzip.compress(archive, 1))


class Machine:
    def __init__(self, work, kernel, version, card, taps, memory, processors, iommu=False):
        command = ["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", processors, "-m", memory, "-display", "none",
                   "-monitor", "none", "-serial", "stdio", "-no-reboot", "-nodefaults",
                   "-kernel", kernel / f"boot/vmlinuz-{version}", "-initrd", work / "initramfs",
                   "-append", "console=ttyS0 quiet panic=-1" + (" intel_iommu=on" if iommu else "")]
        if iommu:
            command += ["-device", "intel-iommu,caching-mode=on,intremap=on"]
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

    def stop(self):
        self.process.kill()
        self.process.wait()


def in_ns(side_name, *command, **options):
    return subprocess.run(["ip", "netns", "exec", side_name, *command], capture_output=True, text=True, **options)


def expect(what, condition, more=""):
    if not condition:
        raise SystemExit(f"FAILED: {what}\n{more}")
    print(f"   ok: {what}", flush=True)


def main_of(test):
    """Runs test(); a reason why it cannot run here is told to meson."""
    try:
        test()
    except Skipped as reason:
        print(f"SKIPPED: {reason}")
        sys.exit(77)

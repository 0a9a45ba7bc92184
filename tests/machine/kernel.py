"""Debian's own arm64 kernel for the emulated machine, with its device trees and small initial RAM disks.

All of it is unpacked and made natively, without package scripts: seconds, not minutes.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.machine.place import ProofError, cache, call, need
from tests.machine.root import SUITE, sources

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Modules that a door does not need; three quarters of their total size.
LEFT_OUT = ("drivers/net/*", "drivers/gpu", "drivers/scsi", "drivers/infiniband", "sound")
KEPT = ("virtio_net.ko", "net_failover.ko")
"""Modules among those that the network card of ``virt`` needs."""
INITRDS = {
    "virt": ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic"),
    "pi": ("fixed", "bcm2835", "sdhci-iproc", "ext4", "crc32c_generic"),
}
# Revisions as the boards' firmware writes them into the device tree, where gpiozero looks for a board's pins:
# https://www.raspberrypi.com/documentation/computers/raspberry-pi.html#raspberry-pi-revision-codes
PI_3B, PI_4B = "a02082", "c03115"
VIRT = ("-cpu", "cortex-a76", "-smp", "1", "-m", "2048")
"""QEMU's arguments for the generic machine. It has one core, because guest time counts instructions. The core is a Pi
5's: its dot products, which a Pi 4 lacks, make emulation three times as fast."""
INIT = """#!/bin/sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sysfs /sys; $B mount -t devtmpfs dev /dev
for m in /m/*; do $B insmod $m; done
n=0
while [ $n -lt 300 ]; do
  for d in /dev/vda /dev/mmcblk0 /dev/mmcblk1; do [ -b $d ] && break 2; done
  $B sleep 0.2; n=$((n+1))
done
$B mount -t ext4 -o rw $d /mnt || exec /bin/sh
$B umount /proc; $B umount /sys; $B mount --move /dev /mnt/dev
exec $B switch_root /mnt /sbin/init
"""


@dataclass(frozen=True)
class Kernel:
    """A kernel ready for QEMU, and the paths of its parts."""

    folder: Path

    @property
    def version(self) -> str:
        """Version as ``uname -r`` prints it."""
        return (self.folder / "version").read_text().strip()

    @property
    def image(self) -> Path:
        """File for QEMU's ``-kernel``."""
        return self.folder / "vmlinuz"

    @property
    def modules(self) -> Path:
        """Folder for /usr/lib/modules/VERSION of a root."""
        return self.folder / "k" / "usr" / "lib" / "modules" / self.version

    def initrd(self, machine: str) -> Path:
        """Return the initial RAM disk for ``virt`` or ``pi``."""
        return self.folder / f"initrd-{machine}.gz"

    def device_tree(self, machine: str) -> Path:
        """Return the device tree for ``virt`` (with the name of a Pi 4) or ``pi`` (a Pi 3B)."""
        return self.folder / f"{machine}.dtb"


def make(suite: str = SUITE) -> Kernel:
    """Return the kernel of ``suite`` from the cache; the first call downloads and prepares it."""
    folder = cache() / f"kernel-{suite}-net"
    if (folder / "version").exists():
        return Kernel(folder)
    need("apt-get", "dpkg-deb", "depmod", "modprobe", "cpio", "fdtput", "qemu-system-aarch64")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    _unpack(folder, suite)
    version = _only(folder / "k" / "usr" / "lib" / "modules").name
    for part in LEFT_OUT:
        for path in (folder / "k" / "usr" / "lib" / "modules" / version / "kernel").glob(part):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif not path.name.startswith(KEPT):
                path.unlink()
    call(["depmod", "-b", folder / "k" / "usr", version])
    shutil.copy(folder / "k" / "boot" / f"vmlinuz-{version}", folder / "vmlinuz")
    for machine, modules in INITRDS.items():
        _make_initrd(folder, version, machine, modules)
    _make_device_trees(folder)
    (folder / "version").write_text(version)
    return Kernel(folder)


def _unpack(folder: Path, suite: str) -> None:
    """Download kernel and busybox for arm64 with an apt state of their own, and unpack them."""
    state = folder / "apt"
    for part in ("etc/apt/preferences.d", "etc/apt/apt.conf.d", "etc/apt/trusted.gpg.d", "var/lib/apt/lists/partial"):
        (state / part).mkdir(parents=True)
    (state / "var/cache/apt/archives/partial").mkdir(parents=True)
    (state / "status").touch()
    lines = [line.replace("deb ", f"deb [signed-by={KEYRING}] ", 1) for line in sources(suite)]
    (state / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
    options = [f"-oDir={state}", f"-oDir::State::status={state}/status", "-oAcquire::Languages=none"]
    options += ["-oAPT::Architecture=arm64", "-oAPT::Architectures::=arm64", "-qq"]
    call(["apt-get", *options, "update"])
    depends = call(["apt-cache", *options, "depends", "linux-image-arm64"])
    image = next(line.split()[-1] for line in depends.splitlines() if "Depends: linux-image" in line)
    call(["apt-get", *options, "download", image, "busybox-static"], cwd=folder)
    for name, into in ((image, "k"), ("busybox-static", "bb")):
        call(["dpkg-deb", "-x", next(folder.glob(f"{name}_*.deb")), folder / into])
    old = folder / "k" / "lib" / "modules"
    if old.exists():  # bookworm; trixie's packages have it under /usr already
        (folder / "k" / "usr" / "lib").mkdir(parents=True, exist_ok=True)
        old.rename(folder / "k" / "usr" / "lib" / "modules")


def _make_initrd(folder: Path, version: str, machine: str, modules: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary)
        for name in ("bin", "proc", "sys", "dev", "mnt", "m"):
            (tree / name).mkdir()
        shutil.copy(next(path for path in folder.glob("bb/**/bin/busybox")), tree / "bin" / "busybox")
        (tree / "bin" / "sh").symlink_to("busybox")
        for number, path in enumerate(_with_dependencies(folder, version, modules), 100):
            (tree / "m" / f"{number}-{path.name.removesuffix('.xz')}").write_bytes(_module(path))
        (tree / "init").write_text(INIT)
        (tree / "init").chmod(0o755)
        archive = subprocess.run(
            ["cpio", "--create", "--format=newc", "--quiet"],
            input="\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*"))).encode(),
            cwd=tree,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    (folder / f"initrd-{machine}.gz").write_bytes(gzip.compress(archive, 1))


def _with_dependencies(folder: Path, version: str, modules: Sequence[str]) -> Iterator[Path]:
    """Yield the module files in the order to load them, each once, dependencies first."""
    seen = set()
    for module in modules:
        shown = call(["modprobe", "-d", folder / "k" / "usr", "-S", version, "--show-depends", module])
        for line in shown.splitlines():
            if line.startswith("insmod") and (path := Path(line.split()[1])) not in seen:
                seen.add(path)
                yield path


def _module(path: Path) -> bytes:
    if path.suffix != ".xz":
        return path.read_bytes()
    return subprocess.run(["xz", "--decompress", "--stdout", path], stdout=subprocess.PIPE, check=True).stdout


def _make_device_trees(folder: Path) -> None:
    """Write the device trees of QEMU's machines, with the identity that a Pi's firmware would add."""
    virt, pi = folder / "virt.dtb", folder / "pi.dtb"
    call(["qemu-system-aarch64", "-M", f"virt,dumpdtb={virt}", *VIRT, "-display", "none"])
    found = next(iter(folder.glob("k/usr/lib/linux-image-*/broadcom/bcm2837-rpi-3-b.dtb")), None)
    if found is None:
        raise ProofError(f"{folder}: the kernel package brings no device tree for a Raspberry Pi 3B")
    shutil.copy(found, pi)
    # On a real board the Bluetooth radio uses this port; the proof's shell needs it as ttyAMA0.
    call(["fdtput", "-r", pi, "/soc/serial@7e201000/bluetooth"])
    _name_board(virt, PI_4B)
    call(["fdtput", "-t", "s", virt, "/", "model", "Raspberry Pi 4 Model B Rev 1.5"])
    _name_board(pi, PI_3B)


def _name_board(tree: Path, revision: str) -> None:
    call(["fdtput", "-c", tree, "/system"])
    call(["fdtput", "-t", "x", tree, "/system", "linux,revision", revision])


def _only(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found

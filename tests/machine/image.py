"""A disk for the emulated machine: a root with fmd's package in it, a kernel's modules, and the proof's own shell."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.machine.emulator import BOARDS
from tests.machine.kernel import Kernel
from tests.machine.place import call, need

GUEST = Path(__file__).with_name("guest")
SIZE = 2 << 30
"""Bytes; sparse. Of a power of two, as an SD card of the emulated Pi must be."""


def make(tree: Path, kernel: Kernel, disk: Path, kind: str = "virt") -> Path:
    """The root in ``tree`` as an ext4 image that boots on the machine of that ``kind``."""
    need("mke2fs")
    modules = tree / "usr" / "lib" / "modules" / kernel.version
    if not modules.exists():
        shutil.copytree(kernel.modules, modules, symlinks=True)
    _add_shell(tree, BOARDS[kind].shell_device)
    shutil.rmtree(tree / ".board", ignore_errors=True)
    disk.unlink(missing_ok=True)
    call(["truncate", f"--size={SIZE}", disk])
    call(["mke2fs", "-q", "-t", "ext4", "-d", tree, disk])
    return disk


def _add_shell(tree: Path, device: str) -> None:
    units = tree / "etc" / "systemd" / "system"
    shutil.copy(GUEST / "proof-shell@.service", units)
    shell = Path(shutil.copy(GUEST / "proof-shell", tree / "usr" / "local" / "sbin"))
    shell.chmod(0o755)
    wanted = units / "multi-user.target.wants" / f"proof-shell@{Path(device).name}.service"
    wanted.parent.mkdir(exist_ok=True)
    if not wanted.is_symlink():
        wanted.symlink_to("../proof-shell@.service")

"""A disk for the emulated machine: a root with fmd's package in it, a kernel's modules, and the proof's own shell.

``python -m tests.machine.image OUT.img`` makes the bench image: Debian for arm64 with the package, from packages alone.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.machine import root as roots
from tests.machine.emulator import BOARDS
from tests.machine.kernel import Kernel
from tests.machine.place import ProofError, call, need

SIZE = 2 << 30
"""Bytes; sparse. Of a power of two, as an SD card of the emulated Pi must be."""
SHELL_UNIT = """[Unit]
Description=Root shell for the proof, on {device}
After=multi-user.target

[Service]
# Through cat: a shell that reads from a terminal itself prompts, and echoes what it is told.
ExecStart=/bin/sh -c 'exec <{device} >{device} 2>&1; stty raw -echo; echo PROOF SHELL READY >/dev/console; cat | sh'
Restart=always
TimeoutStartSec=infinity

[Install]
WantedBy=multi-user.target
"""


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
    (units / "proof-shell.service").write_text(SHELL_UNIT.format(device=device))
    wanted = units / "multi-user.target.wants" / "proof-shell.service"
    wanted.parent.mkdir(exist_ok=True)
    if not wanted.is_symlink():
        wanted.symlink_to("../proof-shell.service")

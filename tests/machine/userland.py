"""A board's userland without its kernel: aarch64 programs of an unpacked root, run by qemu-user.

Every call names the processor: qemu-user 7.2's default one computes wrong inferences (99 of 100 outputs differ).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.machine.place import call

PROCESSORS = {"Raspberry Pi 3": "cortex-a53", "Raspberry Pi 4": "cortex-a72", "Raspberry Pi 5": "cortex-a76"}
CORE = """processor\t: {number}
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
# In private mount and process namespaces, which end with all their mounts and processes.
ENTER = """
set -e
root=$1; shift
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount --bind "$root/.board/sys" "$root/sys"
mount --bind "$root/.board/cpuinfo" "$root/proc/cpuinfo"
mount --bind /dev "$root/dev"
exec chroot "$root" "$@"
"""


def dress(root: Path) -> None:
    """Give ``root`` the /proc/cpuinfo and processor list of a Pi 4, in place of the host's.

    With those of x86, qemu-user 7.2 crashes inside the TFLite runtime or leaves XNNPACK off.
    """
    lists = root / ".board" / "sys" / "devices" / "system" / "cpu"
    lists.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present"):
        (lists / name).write_text("0-3\n")
    board = "Revision\t: c03115\nModel\t\t: Raspberry Pi 4 Model B Rev 1.5\n"
    (root / ".board" / "cpuinfo").write_text("".join(CORE.format(number=n) for n in range(4)) + board)


def run(
    root: Path, processor: str, command: Sequence[str], timeout_s: float = 1800, also: Mapping[str, str] | None = None
) -> str:
    """Run one aarch64 ``command`` in ``root`` and return its standard output; ``also`` are environment variables."""
    clean = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/root",
        "DEBIAN_FRONTEND": "noninteractive",
        "PYTHONDONTWRITEBYTECODE": "1",
        "QEMU_CPU": processor,
        **(also or {}),
    }
    enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh", root, *command]
    return call(enter, timeout_s=timeout_s, words=" ".join(command), env=clean)

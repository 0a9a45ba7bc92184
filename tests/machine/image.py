"""Disks for the emulated machine: a root with fmd's package and the modules of a kernel.

``python -m tests.machine.image OUT.img`` makes an image for experiments: a Debian for arm64 with fmd's package. It
boots on the emulator to a console where root logs in without a password. It is no image for a card.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from tests.machine import kernel, package
from tests.machine.emulator import BOARDS
from tests.machine.kernel import Kernel
from tests.machine.place import ProofError, cache, call, need, need_root

GUEST = Path(__file__).with_name("guest")
SIZE = 2 << 30
"""Bytes of the sparse image; a power of two, as the emulated Pi's SD card requires."""


def make(tree: Path, built: Kernel, disk: Path) -> Path:
    """Write the root in ``tree``, with the modules of ``built``, as an ext4 image to ``disk``; return its path."""
    need("mke2fs")
    modules = tree / "usr" / "lib" / "modules" / built.version
    if not modules.exists():
        shutil.copytree(built.modules, modules, symlinks=True)
    shutil.rmtree(tree / ".board", ignore_errors=True)
    disk.unlink(missing_ok=True)
    call(["truncate", f"--size={SIZE}", disk])
    call(["mke2fs", "-q", "-t", "ext4", "-d", tree, disk])
    return disk


def add_shell(tree: Path, kind: str) -> None:
    """Add the shell through which the proof controls a board of this ``kind`` to the root in ``tree``."""
    units = tree / "etc" / "systemd" / "system"
    shutil.copy(GUEST / "proof-shell@.service", units)
    shell = Path(shutil.copy(GUEST / "proof-shell", tree / "usr" / "local" / "sbin"))
    shell.chmod(0o755)
    wanted = units / "multi-user.target.wants" / f"proof-shell@{Path(BOARDS[kind].shell_device).name}.service"
    wanted.parent.mkdir(exist_ok=True)
    if not wanted.is_symlink():
        wanted.symlink_to("../proof-shell@.service")


def main() -> int:
    """Make the image, and print how to boot it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, metavar="OUT.img")
    parser.add_argument("--packages", type=Path, metavar="FOLDER", help=package.PACKAGES_HELP)
    asked = parser.parse_args()
    try:
        need_root()
        _make_bench(asked.out, asked.packages)
    except ProofError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _make_bench(out: Path, packages: Path | None) -> None:
    built = kernel.make()
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        tree = package.installed(Path(folder) / "tree", package.find("arm64", packages), "arm64")
        _let_root_in(tree)
        make(tree, built, out)
    print(f"{out}: boot it with\n  {shlex.join(boot_command(built, out))}")


def _let_root_in(tree: Path) -> None:
    """Remove root's password: the image runs only on the developer's machine."""
    shadow = tree / "etc" / "shadow"
    shadow.write_text(re.sub(r"^root:[^:]*:", "root::", shadow.read_text(), count=1))


def boot_command(built: Kernel, disk: Path) -> list[str]:
    """Return the command that runs QEMU on this terminal (Ctrl-A X ends it)."""
    board = BOARDS["virt"]
    return [
        *("qemu-system-aarch64", "-M", board.machine, *board.arguments, "-nographic", "-serial", "mon:stdio"),
        *("-kernel", str(built.image), "-initrd", str(built.initrd("virt")), "-dtb", str(built.device_tree("virt"))),
        *("-append", f"console={board.console} rw"),
        *("-drive", f"if=none,id=disk,file={disk},format=raw", "-device", "virtio-blk-pci,drive=disk"),
    ]


if __name__ == "__main__":
    sys.exit(main())

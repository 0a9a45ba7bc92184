"""Boot partitions as the images of Raspberry Pi OS carry them, in folders and in image files."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

COMMAND_LINE = "console=tty1 root=PARTUUID=e5fdffb4-02 rootfstype=ext4 fsck.repair=yes rootwait quiet"
BOOKWORM: Mapping[str, str] = {
    "config.txt": "[all]\n",
    "cmdline.txt": f"{COMMAND_LINE} init=/usr/lib/raspberrypi-sys-mods/firstboot\n",
    "kernel8.img": "kernel",
    "issue.txt": "Raspberry Pi reference 2025-05-13\nGenerated using pi-gen, stage2\n",
}
TRIXIE: Mapping[str, str] = {
    **BOOKWORM,
    "cmdline.txt": f"{COMMAND_LINE} resize\n",
    "issue.txt": "Raspberry Pi reference 2025-11-24\nGenerated using pi-gen, stage2\n",
    "user-data": "#cloud-config\n\n# Nothing set here.\n#hostname: raspberrypi\n",
    "meta-data": "dsmode: local\ninstance_id: rpios-image\n",
    "network-config": "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n      optional: true\n",
}
BOOT_SECTOR = 2048
"""First sector of the boot partition in the images made here."""


def fill(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def bookworm(tmp_path: Path) -> Path:
    return fill(tmp_path / "bookworm", BOOKWORM)


@pytest.fixture
def trixie(tmp_path: Path) -> Path:
    return fill(tmp_path / "trixie", TRIXIE)


def entry(kind: int, first: int, sectors: int) -> bytes:
    """One entry of a master boot record."""
    return bytes([0, 0, 0, 0, kind, 0, 0, 0]) + first.to_bytes(4, "little") + sectors.to_bytes(4, "little")


@pytest.fixture
def image_of(tmp_path: Path) -> Callable[[Path], Path]:
    """Makes an image file as those one downloads: a partition table, a FAT boot partition, another partition."""
    for tool in ("mkfs.vfat", "mcopy"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} on this machine (apt install dosfstools mtools)")

    def make(folder: Path, megabytes: int = 8, bits: int = 16) -> Path:
        path, sectors = tmp_path / f"{folder.name}.img", megabytes * 2048
        table = entry(0x0C, BOOT_SECTOR, sectors) + entry(0x83, BOOT_SECTOR + sectors, 2048) + bytes(32)
        with path.open("wb") as image:
            image.write(bytes(446) + table + b"\x55\xaa")
            image.truncate((BOOT_SECTOR + sectors + 2048) * 512)
        subprocess.run(
            # One sector per cluster: FAT12, which no card has, ends at 4084 clusters, FAT16 at 65524.
            [*f"mkfs.vfat -F {bits} -s 1 -n bootfs --offset {BOOT_SECTOR}".split(), path, str(megabytes * 1024)],
            check=True,
            capture_output=True,
        )
        files = [str(file) for file in folder.iterdir()]
        subprocess.run(["mcopy", "-i", f"{path}@@{BOOT_SECTOR * 512}", *files, "::/"], check=True, capture_output=True)
        return path

    return make


def ar_member(name: str, data: bytes) -> bytes:
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)


def deb_of(control: str, compression: str = "xz", content: bytes = b"") -> bytes:
    """A .deb with that control file; ``content`` stands for its archive of files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        info = tarfile.TarInfo("./control")
        info.size = len(control.encode())
        archive.addfile(info, io.BytesIO(control.encode()))
    return b"!<arch>\n" + b"".join(
        ar_member(name, data)
        for name, data in (
            ("debian-binary", b"2.0\n"),
            (f"control.tar.{compression}", packed.getvalue()),
            ("data.tar", content),
        )
    )


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    path = tmp_path / "fmd_0.1.0_arm64.deb"
    path.write_bytes(deb_of("Package: fmd\nVersion: 0.1.0\nArchitecture: arm64\nDescription: door\n watch: it\n"))
    return path

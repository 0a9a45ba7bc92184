"""Debian roots made only from packages, as cached tar files.

They replace the system below fmd's package. An arm64 root is the userland of a board, run by qemu-user or booted as a
whole. An amd64 root runs natively in namespaces.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path

from tests.machine.place import ProofError, cache, call, need, need_root

SUITE = "bookworm"
# Packages that Raspberry Pi OS Lite has too and fmd's package needs. v4l-utils controls the virtual camera.
PACKAGES = (
    "systemd-sysv,udev,dbus,kmod,adduser,python3,python3-venv,python3-numpy,v4l-utils,procps,ca-certificates,iproute2"
)
# No manuals and no precompiled Python: both cost minutes under emulation and prove nothing.
LEAVE_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
IDLE = "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
HANDLER = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")


def make(arch: str, suite: str = SUITE, more: str = "") -> Path:
    """Return the tar of a Debian root with systemd, Python and the package ``more`` for ``arch``.

    The first call makes it.
    """
    made = cache() / f"root-{suite}-{arch}{'-' * bool(more)}{more}.tar"
    if made.exists():
        return made
    need_root()
    need("mmdebstrap", "tar")
    if arch != native():
        register_binfmt()
    unfinished = made.with_suffix(".part.tar")
    call(["mmdebstrap", *_options(arch, more), suite, unfinished, *sources(suite)], timeout_s=3600)
    return unfinished.rename(made)


def native() -> str:
    """Return Debian's name of this machine's architecture."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def unpack(tar: Path, folder: Path) -> Path:
    """Unpack a root into ``folder`` with its owners and modes, and return the folder."""
    folder.mkdir(parents=True)
    call(["tar", "--extract", "--numeric-owner", "--file", tar, "--directory", folder])
    return folder


def register_binfmt() -> None:
    """Register qemu-user with the kernel for aarch64 programs; once per boot."""
    if (BINFMT / "qemu-aarch64").exists():
        return
    if not HANDLER.exists():
        raise ProofError(f"{HANDLER}: missing; install qemu-user-static")
    if not (BINFMT / "register").exists():
        call(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT])
    if not (BINFMT / "qemu-aarch64").exists():
        (BINFMT / "register").write_text(HANDLER.read_text())


def _options(arch: str, more: str) -> list[str]:
    quiet = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEAVE_OUT]
    return [
        "--quiet",
        "--variant=minbase",
        f"--architectures={arch}",
        f"--include={PACKAGES}{',' * bool(more)}{more}",
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=force-unsafe-io",
        *quiet,
        '--essential-hook=mkdir -p "$1/usr/local/bin"; for f in py3compile py3clean; do '
        'printf "#!/bin/sh\\n" > "$1/usr/local/bin/$f"; chmod 755 "$1/usr/local/bin/$f"; done',
        '--customize-hook=rm -f "$1/usr/local/bin/py3compile" "$1/usr/local/bin/py3clean"',
        f'--customize-hook=for u in {IDLE}; do ln -sf /dev/null "$1/etc/systemd/system/$u"; done',
        '--customize-hook=mkdir -p "$1/var/log/journal"; : > "$1/etc/machine-id"; echo door > "$1/etc/hostname"',
    ]


def sources(suite: str) -> list[str]:
    """Return apt lines with the mirror that this machine's own apt uses, if that is a Debian one."""
    main, security = mirrors(_host_sources())
    return [
        f"deb {main} {suite} main",
        f"deb {main} {suite}-updates main",
        f"deb {security} {suite}-security main",
    ]


def _host_sources() -> str:
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("debian*.sources"))]
    return "\n".join(file.read_text() for file in files if file.is_file())


def mirrors(sources: str) -> tuple[str, str]:
    """Return mirror and security mirror from apt's ``sources`` (either format), else Debian's own."""
    addresses = re.findall(r"^(?:URIs:\s*|deb\s+(?:\[[^]]*\]\s*)?)(\S*debian\S*)", sources, re.MULTILINE)
    security = [address for address in addresses if "security" in address]
    main = [address for address in addresses if address not in security]
    return (
        main[0] if main else "http://deb.debian.org/debian",
        security[0] if security else "http://security.debian.org/debian-security",
    )

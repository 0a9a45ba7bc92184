"""A root's own systemd as process 1 of new namespaces: no emulation, no container manager, native speed.

The sandbox of the units (mounts, devices, system calls, users) is enforced as on a board. Memory and processor limits
are not, because the host keeps those controllers for itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.machine.place import ProofError, call, need

ENTER = """
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do cp -a /dev/$name "$root/dev/"; done
mkdir -p "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
touch "$root/dev/console"
mount --bind "$2" "$root/dev/console"
cd "$root"
pivot_root . mnt
umount -l /mnt
exec env -i container=fmd-proof PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \\
  /lib/systemd/systemd --log-target=console --show-status=1 </dev/null >/dev/console 2>&1
"""
NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup")
BOOT_S = 180


class System:
    """A booted root, in which commands run as its user root."""

    def __init__(self, pid: int, console: Path) -> None:
        self._pid, self._console = pid, console

    @property
    def pid(self) -> int:
        """The host's number of the process that is 1 inside."""
        return self._pid

    def out(self, command: str, timeout_s: float = 120) -> str:
        """Run a shell command inside and return its standard output; raises :class:`ProofError` if it fails."""
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "sh", "-c", command]
        enter = ["nsenter", f"--target={self._pid}", *NAMESPACES, "--root", "--wd", *clean]
        return call(enter, timeout_s=timeout_s, words=f"`{command}`").strip()

    def wait(self, command: str, wanted: str, timeout_s: float = BOOT_S) -> None:
        """Wait until a command prints ``wanted``; raises :class:`ProofError` after ``timeout_s``."""
        until_s, got = time.monotonic() + timeout_s, ""
        while time.monotonic() < until_s:
            try:
                got = self.out(f"{command} || true")
            except ProofError as error:  # process 1 has not made its namespaces yet
                got = str(error)
            if got == wanted:
                return
            time.sleep(0.5)
        tail = self._console.read_text(errors="replace")[-1500:]
        raise ProofError(f"`{command}` gave {got!r}, expected {wanted!r}; console:\n{tail}")


@contextmanager
def booted(root: Path, console: Path) -> Iterator[System]:
    """Yield ``root`` booted under its own systemd and ready; leaving kills all of its processes."""
    with started(root, console) as system:
        system.wait("systemctl is-system-running", "running")
        yield system


@contextmanager
def started(root: Path, console: Path) -> Iterator[System]:
    """Yield ``root`` under its own systemd while it still boots; leaving kills all of its processes."""
    need("unshare", "nsenter")
    console.touch()
    enter = ["unshare", *NAMESPACES, "--fork", "--kill-child=SIGKILL", "sh", "-c", ENTER, "sh", root, console]
    outer = subprocess.Popen(enter, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield System(_child(outer), console)
    finally:
        os.killpg(outer.pid, signal.SIGKILL)  # the kernel takes every process of the namespace with its process 1
        outer.wait()


def _child(outer: subprocess.Popen[bytes]) -> int:
    """Return the host's id of the process that is 1 inside."""
    path = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    for _ in range(100):
        if outer.poll() is None and (children := path.read_text().split()):
            return int(children[0])
        time.sleep(0.1)
    raise ProofError("unshare could not make namespaces; run the proof as root")

"""Disks that refuse: read-only, without a free inode, full. Root mounts a small one over a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Mount a tmpfs over ``folder`` that begins with its content; skip the test where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("mounting a disk wants root")
    with tempfile.TemporaryDirectory() as before:
        shutil.copytree(folder, before, dirs_exist_ok=True, symlinks=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        try:
            shutil.copytree(before, folder, dirs_exist_ok=True, symlinks=True)
            yield
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only, as the kernel does with a card that fails."""
    with mounted(folder, "size=1m"):
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        yield


@contextmanager
def full_of_names(folder: Path) -> Iterator[None]:
    """Leave a folder without a free inode."""
    with mounted(folder, "size=1m,nr_inodes=40"):
        with suppress(OSError):
            for i in range(1000):
                (folder / f"filler-{i}").touch()
        yield


@contextmanager
def small_disk(folder: Path, size: str = "64k") -> Iterator[Callable[[], None]]:
    """Put a folder on a small disk; yield what fills it."""

    def fill() -> None:
        with suppress(OSError), (folder / "filler").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(512))

    with mounted(folder, f"size={size}"):
        yield fill


@contextmanager
def on_a_disk(image: Path, place: Path, new: bool = True) -> Iterator[None]:
    """Mount an ext4 file system in ``image`` at ``place``; a copy of an image that was mounted recovers its journal."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("mounting a disk wants root and mkfs.ext4")
    if new:
        with image.open("wb") as file:
            file.truncate(8 << 20)
        subprocess.run(["mkfs.ext4", "-q", image], check=True, capture_output=True)
    done = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, text=True, check=False)
    if done.returncode and new:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)

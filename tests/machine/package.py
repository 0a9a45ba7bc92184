"""fmd's Debian package in a root: built by the project's own command, installed by dpkg."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.machine import root, userland
from tests.machine.place import REPOSITORY, ProofError, cache, call, need
from tests.machine.root import native

PYTHONS = "3.11"
"""Python of Bookworm, the root's. A package for one Python is a quarter of the size of the full one."""
FMD = "/opt/fmd/bin/fmd"
PYTHON = "/opt/fmd/current/bin/python"
PACKAGES_HELP = "use the newest packages in this folder instead of building them"
SCENE = "/opt/fmd-proof"
GUEST = Path(__file__).with_name("guest")

Runner = Callable[..., str]


def find(arch: str, folder: Path | None) -> Path:
    """Return the newest .deb for ``arch`` in ``folder``; build it from the working tree if ``folder`` is None."""
    if folder is None:
        return build(arch)
    found = sorted(folder.glob(f"fmd_*_{arch}.deb"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ProofError(
            f"{folder}: no fmd_*_{arch}.deb there; make it with: make deb DEB_ARCH={arch} PYTHONS={PYTHONS}"
        )
    return found[-1]


def build(arch: str, pythons: str = PYTHONS) -> Path:
    """Build the .deb of the working tree for ``arch`` and return its path; its wheels are kept between builds."""
    need("make", "dpkg-buildpackage", "dh")
    call(["make", "deb", f"DEB_ARCH={arch}", f"PYTHONS={pythons}"], cwd=REPOSITORY)
    return find(arch, REPOSITORY / "build")


def runner(tree: Path, arch: str, processor: str = "cortex-a76") -> Runner:
    """Return a function that runs commands inside ``tree`` and returns their standard output.

    Its signature is ``run(command, timeout_s=..., also={...})``; ``also`` are environment variables.
    """
    userland.dress(tree)
    cpu = "" if arch == native() else processor

    def run(command: Sequence[str], timeout_s: float = 3600, also: Mapping[str, str] | None = None) -> str:
        return userland.run(tree, cpu, command, timeout_s, also)

    return run


def install(tree: Path, deb: Path, run: Runner) -> None:
    """Install the package with dpkg, as on a board that does not run yet: its services start at the next boot."""
    inside = tree / "tmp" / "fmd.deb"
    shutil.copy(deb, inside)
    run(["dpkg", "--install", "/tmp/fmd.deb"])
    inside.unlink()


def installed(tree: Path, deb: Path, arch: str) -> Path:
    """Return a root at ``tree`` with ``deb`` in it, installed by dpkg and checked.

    It is kept in the cache, because an installation under emulation takes minutes. Another package is installed again.
    """
    digest = hashlib.sha256(deb.read_bytes() + root.make(arch).name.encode()).hexdigest()
    kept = cache() / f"installed-{arch}-{digest[:16]}.tar"
    if not kept.exists():
        run = runner(root.unpack(root.make(arch), tree), arch)
        install(tree, deb, run)
        check_installed(run)
        keep(tree, kept)
        return tree
    return root.unpack(kept, tree)


def keep(tree: Path, kept: Path) -> None:
    """Store the root as ``kept``, and delete those of earlier packages for the same architecture."""
    unfinished = kept.with_suffix(".part")
    call(["tar", "--create", "--numeric-owner", "--exclude=./.board", "--file", unfinished, "--directory", tree, "."])
    for old in kept.parent.glob(f"{kept.name.rpartition('-')[0]}-*.tar"):
        old.unlink()
    unfinished.rename(kept)


def check_installed(run: Runner) -> None:
    """Raise ProofError unless dpkg says installed, the unit starts at boot, its user exists, and the command runs."""
    if (status := run(["dpkg-query", "--show", "--showformat=${Status}", "fmd"])) != "install ok installed":
        raise ProofError(f"dpkg says: {status}")
    if (enabled := run(["systemctl", "is-enabled", "fmd"]).strip()) != "enabled":
        raise ProofError(f"fmd.service is {enabled}, it would not start at boot")
    run(["getent", "passwd", "fmd"])
    run([FMD, "--version"])


def add_scene(tree: Path, arch: str) -> None:
    """Add the wheels of scikit-image in a folder of their own: the built-in scene needs it, a board does not."""
    folder = tree / SCENE.lstrip("/")
    machine = {"arm64": "aarch64", "amd64": "x86_64"}[arch]
    platforms = [f"--platform={tag}_{machine}" for tag in ("manylinux2014", "manylinux_2_27", "manylinux_2_28")]
    # Bookworm's numpy, for which the other wheels of the package were resolved.
    wanted = ["scikit-image>=0.22,<0.25", "numpy==1.24.2"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--ignore-installed"]
    only = ["--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHONS}", "--target", folder]
    call([*pip, *only, *platforms, *wanted])


def demo(tree: Path, run: Runner) -> str:
    """Run ``fmd demo`` and return its output; raises ProofError if its video or contact sheet is empty."""
    output = run([FMD, "demo", "--out", "/tmp/demo-out"], also={"PYTHONPATH": SCENE})
    for name in ("demo.webm", "contact-sheet.png"):
        if not (tree / "tmp/demo-out" / name).stat().st_size:
            raise ProofError(f"fmd demo left an empty {name}")
    return output


def answers(tree: Path, run: Runner) -> dict[str, Any]:
    """Return what the installed package computes for the golden inputs of the shipped models (guest/answers.py)."""
    script = tree / "tmp" / "answers.py"
    shutil.copy(GUEST / "answers.py", script)
    found: dict[str, Any] = json.loads(run([PYTHON, "/tmp/answers.py"]))
    return found

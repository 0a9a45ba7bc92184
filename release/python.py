"""Wheel and source distribution, and the proof that the wheel works in an empty environment."""

from __future__ import annotations

import sys
import tempfile
import venv
from pathlib import Path

from release.errors import ReleaseError
from release.shell import run


def distributions(root: Path, out: Path, version: str) -> None:
    """Build wheel and source distribution into ``out``, and check their metadata.

    The wheel is made from the source distribution, so that a missing file fails here. Raises ReleaseError if either
    has another version than ``version``.
    """
    run([sys.executable, "-m", "build", "--outdir", out, root], root)
    wheel, source = out / f"fmd_edge-{version}-py3-none-any.whl", out / f"fmd_edge-{version}.tar.gz"
    for path in (wheel, source):
        if not path.is_file():
            raise ReleaseError(f"{path.name} was not built; built: {', '.join(sorted(p.name for p in out.iterdir()))}")
    run([sys.executable, "-m", "twine", "check", "--strict", wheel, source], root)


def try_wheel(wheel: Path, version: str) -> None:
    """Install the wheel with its extra ``demo`` into an empty environment, and play the demo there.

    Raises ReleaseError if it states another version, or if the demo leaves no video.
    """
    with tempfile.TemporaryDirectory(prefix="fmd-release-") as name:
        folder = Path(name)
        venv.create(folder / "empty", with_pip=True)
        programs = folder / "empty/bin"
        run([programs / "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[demo]"], folder)
        stated = run([programs / "fmd", "--version"], folder).strip()
        if stated != f"fmd {version}":
            raise ReleaseError(f"the installed wheel states {stated!r}, expected 'fmd {version}'")
        run([programs / "fmd", "demo", "--out", folder / "demo"], folder)
        if not any(path.stat().st_size for path in (folder / "demo").glob("demo.*")):
            raise ReleaseError("`fmd demo` of the installed wheel left no video")

"""Libraries that the user adds for this board outlast the package's versions, each of which is a new environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.edge.parts import ROOT

POSTINST = ROOT / "debian/fmd.postinst"


def release(root: Path, name: str) -> Path:
    """Make an environment as the package does, with the script's own function, and return its Python."""
    folder = root / "releases" / name
    options = ["--without-pip", "--system-site-packages"]
    subprocess.run([sys.executable, "-m", "venv", *options, folder], check=True)
    script = f". {POSTINST} none; ROOT={root} release={folder}; share_added"
    subprocess.run(["sh", "-c", script], check=True)
    return folder / "bin/python"


def test_an_added_library_is_there_in_the_next_version(tmp_path: Path) -> None:
    first = release(tmp_path, "1")
    (added,) = (tmp_path / "added").iterdir()
    assert added.name == f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (added / "added_library.py").write_text("version = 1")
    second = release(tmp_path, "2")
    for python in (first, second):
        found = subprocess.run([python, "-c", "import added_library as a; print(a.version)"], capture_output=True)
        assert found.stdout == b"1\n", found.stderr


def test_the_package_has_what_onnxruntime_needs_beside_numpy() -> None:
    # add-library installs without dependencies: flatbuffers, protobuf and numpy come with ai-edge-litert.
    pinned = (ROOT / "systemd/constraints.txt").read_text()
    for library in ("flatbuffers==", "protobuf==", "numpy=="):
        assert f"\n{library}" in pinned


def test_the_scripts_are_valid_shell() -> None:
    for script in (POSTINST, ROOT / "debian/add-library"):
        subprocess.run(["sh", "-n", script], check=True)

"""A whole release of a tagged clone, as `make release` makes it. Takes minutes, and downloads wheels."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from release import address, build
from release.packages import ARCHITECTURES
from release.refusals import PACKAGES
from release.shell import missing
from tests.edge.parts import ROOT
from tests.release.conftest import git

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing(PACKAGES)), reason=f"a program is missing: {', '.join(PACKAGES)}"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone"),
]
VERSION = "9.8.7"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory, key: str) -> Path:
    """The release of a clone with an address, notes and a tag; prints its progress (`pytest -s`)."""
    clone = tmp_path_factory.mktemp("release") / "clone"
    git(ROOT, "clone", "--quiet", str(ROOT), str(clone))
    address.write("https://github.com/Someone/fmd", clone)
    changelog = (clone / "CHANGELOG.md").read_text(encoding="utf-8")
    entry = f"## [Unreleased]\n\n## [{VERSION}] - 2026-11-30\n"
    (clone / "CHANGELOG.md").write_text(changelog.replace("## [Unreleased]\n", entry, 1), encoding="utf-8")
    git(clone, "commit", "-q", "-a", "-m", f"Release {VERSION}")
    git(clone, "tag", f"v{VERSION}")
    # Wheels that were downloaded before; the build checks their hashes again.
    for wheels in (ROOT / "build").glob("wheels-*"):
        shutil.copytree(wheels, clone / "build" / wheels.name, copy_function=os.link)
    subprocess.run([sys.executable, "-m", "release.build"], cwd=clone, check=True)
    return clone / "dist"


def test_everything_is_there_in_this_version(dist: Path) -> None:
    debs = {f"fmd_{VERSION}_{architecture}{end}" for architecture in ARCHITECTURES for end in (".deb", ".cdx.json")}
    python = {f"fmd_edge-{VERSION}-py3-none-any.whl", f"fmd_edge-{VERSION}.tar.gz"}
    sums = {build.SUMS, f"{build.SUMS}.asc", "fmd.asc"}
    assert {path.name for path in dist.iterdir()} == {*debs, *python, *sums, "NOTES.md", "apt", "site", "images"}
    for architecture in ARCHITECTURES:
        deb = dist / f"fmd_{VERSION}_{architecture}.deb"
        stated = ["dpkg-deb", "--field", deb, "Version"]
        assert subprocess.run(stated, capture_output=True, text=True, check=True).stdout.strip() == VERSION
        listed = subprocess.run(["dpkg-deb", "--contents", deb], capture_output=True, text=True, check=True).stdout
        assert f"./opt/fmd/wheels/fmd_edge-{VERSION}-py3-none-any.whl" in listed
        wheels = {line.rpartition("/")[2] for line in listed.splitlines() if line.endswith(".whl")}
        content = json.loads(deb.with_suffix(".cdx.json").read_text(encoding="utf-8"))
        files = {file["url"] for component in content["components"] for file in component["externalReferences"]}
        assert files == {f"opt/fmd/wheels/{name}" for name in wheels}


def test_the_sums_and_their_signature_are_right(dist: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", build.SUMS], cwd=dist, check=True, capture_output=True)
    verify = ["gpg", "--verify", f"{build.SUMS}.asc", build.SUMS]
    subprocess.run(verify, cwd=dist, check=True, capture_output=True)


def test_the_wheel_is_built_from_the_source_distribution(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as archive:
        names = archive.namelist()
        metadata = archive.read(f"fmd_edge-{VERSION}.dist-info/METADATA").decode()
    assert {"edge/shipped/mask_classifier.tflite", "edge/default.toml", "converter/cli.py"} <= set(names)
    assert [name for name in names if name.split("/")[0] in ("tests", "release", "docs", "models")] == []
    # PyPI shows the description without the files beside it.
    assert "(https://github.com/Someone/fmd/raw/HEAD/docs/wiring-pi.svg)" in metadata
    assert re.findall(r"\]\((?!https://)", metadata) == []


def test_nothing_states_the_placeholder(dist: Path) -> None:
    texts = [*dist.glob("*.md"), *dist.glob("images/*"), *dist.glob("apt/*.sources"), *dist.glob("site/**/*.html")]
    assert len(texts) > 30
    placeholders = (address.PLACEHOLDER, address.SITE_PLACEHOLDER)
    texts_of = {path: path.read_text(encoding="utf-8") for path in texts}
    assert [path for path, text in texts_of.items() if any(one in text for one in placeholders)] == []

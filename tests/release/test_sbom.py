"""The SBOM lists what the package contains: every wheel with its version, licence, hash and dependencies."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cyclonedx")

from release import sbom
from tests.debian.test_wheelhouse import wheel

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb")
DATE = datetime(2026, 11, 30, tzinfo=timezone.utc)
CONTROL = "Package: fmd\nVersion: 1.2.3\nArchitecture: arm64\nMaintainer: fmd <fmd@localhost>\nDescription: test\n"


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sbom")
    wheels = folder / "fmd/opt/fmd/wheels"
    wheels.mkdir(parents=True)
    wheel(wheels, "fmd_edge", "1.2.3", "numpy>=1.23", 'gpiod>=2; extra == "jetson"', 'tensorflow; extra == "convert"')
    wheel(wheels, "numpy", "1.24.2", licence="BSD-3-Clause")
    wheel(wheels, "numpy", "2.2.4", licence="BSD-3-Clause")
    wheel(wheels, "gpiod", "2.5.0", 'pytest; extra == "dev"', licence="LGPL-2.1-or-later")
    (folder / "fmd/DEBIAN").mkdir()
    (folder / "fmd/DEBIAN/control").write_text(CONTROL)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", folder / "fmd", folder / "fmd.deb"], check=True
    )
    return folder / "fmd.deb"


@pytest.fixture(scope="module")
def content(deb: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(sbom.of_package(deb, "1.2.3", DATE))
    return read


def test_it_describes_this_package(deb: Path, content: dict[str, Any]) -> None:
    package = content["metadata"]["component"]
    assert (content["bomFormat"], content["specVersion"]) == ("CycloneDX", "1.6")
    assert package["purl"] == "pkg:deb/fmd/fmd@1.2.3?arch=arm64"
    assert package["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(deb.read_bytes()).hexdigest()}]
    assert content["metadata"]["timestamp"].startswith("2026-11-30T00:00:00")


def test_it_lists_every_wheel_once(content: dict[str, Any]) -> None:
    purls = sorted(component["purl"] for component in content["components"])
    names = ("fmd-edge@1.2.3", "gpiod@2.5.0", "numpy@1.24.2", "numpy@2.2.4")
    assert purls == [f"pkg:pypi/{name}" for name in names]
    (gpiod,) = (component for component in content["components"] if component["name"] == "gpiod")
    assert gpiod["licenses"] == [{"license": {"id": "LGPL-2.1-or-later"}}]
    (file,) = gpiod["externalReferences"]
    assert file["url"] == "opt/fmd/wheels/gpiod-2.5.0-py3-none-any.whl"
    assert len(file["hashes"][0]["content"]) == 64


def test_it_states_who_needs_whom(content: dict[str, Any]) -> None:
    """An extra that the package does not install is in no wheel of it, and so not here."""
    needs = {entry["ref"]: set(entry.get("dependsOn", [])) for entry in content["dependencies"]}
    assert needs["fmd==1.2.3"] == {"fmd-edge==1.2.3"}
    assert needs["fmd-edge==1.2.3"] == {"numpy==1.24.2", "numpy==2.2.4", "gpiod==2.5.0"}
    assert needs["gpiod==2.5.0"] == set()


def test_one_package_gives_the_same_text_twice(deb: Path, content: dict[str, Any]) -> None:
    assert json.loads(sbom.of_package(deb, "1.2.3", DATE)) == content

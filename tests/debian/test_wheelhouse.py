"""Libraries that the package carries: exact versions for every Python, and none missing."""

from __future__ import annotations

import configparser
import re
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.debian import scripts
from tests.edge.parts import ROOT

pytest.importorskip("packaging")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def wheelhouse() -> ModuleType:
    return scripts.load("wheelhouse")


def wheel(folder: Path, name: str, version: str, *requires: str) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {one}" for one in requires)]
        archive.writestr(f"{name}-{version}.dist-info/METADATA", "\n".join(lines))
    return path


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", ["aarch64", "x86_64"])
def test_every_requirement_of_the_appliance_has_a_version(wheelhouse: ModuleType, python: str, machine: str) -> None:
    """There is exactly one for each Python and machine, and setup.cfg accepts it."""
    from packaging.requirements import Requirement

    pins = {wheelhouse.canonicalize_name(pin.name): pin.specifier for pin in wheelhouse.pinned(python, machine)}
    environment = wheelhouse.environment_of(python, machine)
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg")
    extras = re.findall(r"fmd-edge\[(.*)\]", parsed["options.extras_require"]["appliance"])[0].split(",")
    lines = parsed["options"]["install_requires"] + "".join(parsed["options.extras_require"][one] for one in extras)
    for line in filter(None, (line.partition("#")[0].strip() for line in lines.splitlines())):
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate(environment):
            pin = pins[wheelhouse.canonicalize_name(wanted.name)]
            assert wanted.specifier.contains(str(pin).removeprefix("==")), line


def test_every_carried_file_has_a_hash_and_a_version(wheelhouse: ModuleType) -> None:
    from packaging.utils import canonicalize_name, parse_wheel_filename

    locked = {parse_wheel_filename(name)[0] for name in wheelhouse.locked()}
    for python in PYTHONS:
        for pin in wheelhouse.pinned(python, "aarch64"):
            assert canonicalize_name(pin.name) in locked, pin
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in wheelhouse.locked().values())


def test_a_wheel_whose_requirement_is_not_carried_is_reported(wheelhouse: ModuleType, tmp_path: Path) -> None:
    wheel(tmp_path, "one", "1.0", "numpy>=1.23", "unheard-of>=2", 'tomli; python_version < "3.11"', 'x; extra == "y"')
    found = list(wheelhouse.missing("3.13", "aarch64", tmp_path))
    assert [line.split(" on ")[0] for line in found] == ["one-1.0-py3-none-any.whl needs unheard-of>=2"]


def test_wheels_of_an_earlier_list_are_deleted(wheelhouse: ModuleType, tmp_path: Path) -> None:
    pin = next(pin for pin in wheelhouse.pinned("3.13", "aarch64") if pin.name == "tqdm")
    keep = wheel(tmp_path, "tqdm", str(pin.specifier).removeprefix("=="))
    wheel(tmp_path, "tqdm", "0.1")
    wheelhouse.prune(["3.13"], "aarch64", tmp_path)
    assert list(tmp_path.iterdir()) == [keep]


def test_the_package_has_the_version_of_the_code() -> None:
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg")
    assert (ROOT / "debian/changelog").read_text().startswith(f"fmd ({parsed['metadata']['version']}) ")

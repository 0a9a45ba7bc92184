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


def wheel(folder: Path, name: str, version: str, *requires: str, licence: str = "", text: str = "") -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {one}" for one in requires)]
        lines += [f"License-Expression: {licence}"] * bool(licence)
        if text:
            archive.writestr(f"{name}-{version}.dist-info/licenses/LICENSE", text)
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


def test_the_licences_of_all_wheels_are_listed_with_their_texts(wheelhouse: ModuleType, tmp_path: Path) -> None:
    wheels, out = tmp_path / "wheels", tmp_path / "licences"
    wheels.mkdir()
    wheel(wheels, "a", "1", licence="MIT", text="the text of MIT")
    wheel(wheels, "b", "2", licence="Apache-2.0")
    assert list(wheelhouse.write_licences(wheels, out)) == []
    assert (out / "LIST").read_text() == "a 1: MIT (LICENSE)\nb 2: Apache-2.0 (LICENSE)\n"
    assert (out / "a-1/LICENSE").read_text() == "the text of MIT"
    assert (out / "b-2/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize(
    ("licence", "text", "wanted"),
    [
        ("MIT", "", "no licence text in it"),
        ("GPL-3.0-or-later", "x", "may not contain"),
        ("AGPL-3.0", "x", "may not contain"),
        ("GNU General Public License v2", "x", "may not contain"),
    ],
)
def test_a_wheel_that_the_package_may_not_contain_is_an_error(
    wheelhouse: ModuleType, tmp_path: Path, licence: str, text: str, wanted: str
) -> None:
    (tmp_path / "wheels").mkdir()
    wheel(tmp_path / "wheels", "a", "1", licence=licence, text=text)
    (line,) = wheelhouse.write_licences(tmp_path / "wheels", tmp_path / "out")
    assert wanted in line


def test_the_lesser_licence_is_allowed(wheelhouse: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    wheel(tmp_path / "wheels", "a", "1", licence="LGPL-2.1-or-later", text="x")
    assert list(wheelhouse.write_licences(tmp_path / "wheels", tmp_path / "out")) == []


def test_a_wheel_with_another_hash_fails_the_build(
    wheelhouse: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it is used: debian/rules copies no wheel after an error."""
    wheel(tmp_path, "idna", "3.20", licence="BSD-3-Clause", text="x")
    for name in ("fetch", "prune"):
        monkeypatch.setattr(wheelhouse, name, lambda *_: None)
    monkeypatch.setattr("sys.argv", ["wheelhouse", "--arch", "arm64", "--pythons", "3.11", "--out", str(tmp_path)])
    assert wheelhouse.main() == 1
    assert "idna-3.20-py3-none-any.whl: its hash differs" in capsys.readouterr().err

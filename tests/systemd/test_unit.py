"""The unit as systemd itself judges it, offline: no systemd need be running."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge import config
from edge.errors import SettingsError
from tests.edge.parts import ROOT

UNIT = ROOT / "systemd/fmd.service"
EXPOSURE = {"": 4, "fmd-network.conf": 13, "fmd-jetson.conf": 7}
"""Tenths of what `systemd-analyze security` (252; later ones count a little less) says at most, by drop-in."""


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit where its command exists: systemd-analyze looks for it."""
    path = tmp_path / "fmd.service"
    path.write_text(UNIT.read_text().replace("/opt/fmd/bin/fmd", sys.executable))
    return path


def with_drop_in(unit: Path, name: str) -> Path:
    if name:
        folder = unit.with_name("fmd.service.d")
        folder.mkdir()
        shutil.copy(UNIT.with_name(name), folder)
    return unit


@pytest.mark.parametrize("drop_in", EXPOSURE)
def test_systemd_finds_nothing_to_say_of_the_unit(unit: Path, drop_in: str) -> None:
    found = analyze("verify", "--man=no", "--recursive-errors=yes", with_drop_in(unit, drop_in))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize("drop_in", EXPOSURE)
def test_its_exposure_is_no_higher_than_the_table_says(unit: Path, drop_in: str) -> None:
    most = EXPOSURE[drop_in]
    found = analyze("security", "--offline=true", f"--threshold={most}", "--no-pager", with_drop_in(unit, drop_in))
    assert found.returncode == 0, found.stdout


def test_what_stays_open_is_explained(unit: Path) -> None:
    """Every mark of `systemd-analyze security` against the unit stands in the table of the README beside it."""
    found = analyze("security", "--offline=true", "--no-pager", unit)
    left_open = re.findall(r"^✗ (\w+)=", found.stdout, re.MULTILINE)
    assert left_open
    explained = UNIT.with_name("README.md").read_text()
    for name in left_open:
        assert f"`{name}" in explained, name


def test_the_watchdog_waits_longer_than_the_longest_waits_inside() -> None:
    """A camera that gives no picture, twice, and a step: the longest that settings may ask for."""
    stall_s = max(seconds for seconds in range(1, 60) if accepts("camera.stall_s", float(seconds)))
    found = re.search(r"^WatchdogSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert found is not None
    assert int(found[1]) >= 2 * stall_s + 5


def accepts(key: str, value: float) -> bool:
    try:
        config.load(None, {key: value})
    except SettingsError:
        return False
    return True


def test_the_user_of_the_unit_is_made_and_in_the_groups_of_its_devices() -> None:
    sysusers = UNIT.with_name("fmd.sysusers.conf").read_text()
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(UNIT)
    assert re.search(rf"^u {parsed['Service']['User']} ", sysusers, re.MULTILINE)
    for group in ("gpio", "video", "audio"):
        assert re.search(rf"^m fmd {group}$", sysusers, re.MULTILINE)


def test_sysusers_are_understood(tmp_path: Path) -> None:
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("systemd-sysusers is not installed")
    (tmp_path / "etc").mkdir()
    subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", UNIT.with_name("fmd.sysusers.conf")], check=True, capture_output=True
    )
    assert "fmd:" in (tmp_path / "etc/passwd").read_text()
    groups = dict(line.split(":", 1) for line in (tmp_path / "etc/group").read_text().splitlines())
    for group in ("gpio", "video", "audio"):
        assert groups[group].endswith(":fmd")

"""The unit as systemd's own tools check it, offline: systemd need not run."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge import config, paths
from edge.errors import SettingsError
from edge.service import model_installer
from tests.edge.parts import ROOT

UNIT = ROOT / "systemd/fmd.service"
INSTALLER = ROOT / "systemd/fmd-model.service"
INSTALLER_EXPOSURE = 14
"""The same for the unit that installs models as root."""
EXPOSURE = {"": 8, "fmd-network.conf": 17, "fmd-jetson.conf": 11, "fmd-gpu.conf": 9, "fmd-sensor.conf": 8}
"""Highest exposure by `systemd-analyze security`, in tenths, by drop-in (version 252; later ones count a little
less)."""


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return the unit with a command that exists, because systemd-analyze checks for it."""
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
def test_systemd_reports_no_problem_in_the_unit(unit: Path, drop_in: str) -> None:
    found = analyze("verify", "--man=no", "--recursive-errors=yes", with_drop_in(unit, drop_in))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize("drop_in", EXPOSURE)
def test_its_exposure_is_at_most_that_in_the_table(unit: Path, drop_in: str) -> None:
    most = EXPOSURE[drop_in]
    found = analyze("security", "--offline=true", f"--threshold={most}", "--no-pager", with_drop_in(unit, drop_in))
    assert found.returncode == 0, found.stdout


@pytest.fixture
def installer(tmp_path: Path) -> Path:
    """Return the installer's unit beside its path unit, with a command that exists."""
    path = tmp_path / INSTALLER.name
    path.write_text(INSTALLER.read_text().replace("/opt/fmd/current/bin/python", sys.executable))
    shutil.copy(INSTALLER.with_suffix(".path"), tmp_path)
    return path


@pytest.mark.parametrize("suffix", [".service", ".path"])
def test_systemd_reports_no_problem_in_the_installers_units(installer: Path, suffix: str) -> None:
    found = analyze("verify", "--man=no", "--recursive-errors=yes", installer.with_suffix(suffix))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_installers_exposure_is_at_most_that_in_the_readme(installer: Path) -> None:
    most = INSTALLER_EXPOSURE
    found = analyze("security", "--offline=true", f"--threshold={most}", "--no-pager", installer)
    assert found.returncode == 0, found.stdout
    assert f"an exposure of {most / 10}" in UNIT.with_name("README.md").read_text()


@pytest.mark.parametrize(("code", "slept"), [(0, ""), (1, "60\n")])
def test_the_installer_waits_after_a_failure(tmp_path: Path, code: int, slept: str) -> None:
    """The path unit starts it again at once, as long as there is a request that it could not remove."""
    (line,) = re.findall(r"^ExecStart=(.*)$", INSTALLER.read_text(), re.MULTILINE)
    for name, text in (("python", f"exit {code}"), ("sleep", f'echo "$1" >> {tmp_path}/slept')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "slept").touch()
    words = shlex.split(line.replace("/opt/fmd/current/bin/python", str(tmp_path / "python")))
    done = subprocess.run(words, check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert (done.returncode, (tmp_path / "slept").read_text()) == (code, slept)


def test_only_root_can_write_to_the_store_and_the_group_fmd_to_its_folder_for_staged_files() -> None:
    lines = UNIT.with_name("fmd.tmpfiles.conf").read_text().splitlines()
    rows = {row.split()[1]: row.split()[2:5] for row in lines if not row.startswith("#")}
    store = str(paths.model_folder(paths.STATE))
    assert rows.pop(f"{store}/{model_installer.INCOMING}") == ["0770", "root", "fmd"]
    assert all(row == ["0755", "root", "root"] for row in rows.values())
    assert {store, f"{store}/{model_installer.RESULTS}"} == set(rows)
    assert f"PathExistsGlob={store}/{model_installer.INCOMING}/*.json\n" in INSTALLER.with_suffix(".path").read_text()
    assert f"ReadWritePaths={store}\n" in INSTALLER.read_text()


def test_every_permission_left_open_is_explained(unit: Path) -> None:
    """The README beside the unit explains every point that `systemd-analyze security` criticises."""
    found = analyze("security", "--offline=true", "--no-pager", unit)
    left_open = re.findall(r"^✗ (\w+)=", found.stdout, re.MULTILINE)
    assert left_open
    explained = UNIT.with_name("README.md").read_text()
    for name in left_open:
        assert f"`{name}" in explained, name


def test_the_watchdog_waits_longer_than_all_timeouts_of_the_service_together() -> None:
    """A camera without a picture, twice, and a step: the longest that the settings allow."""
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


def test_the_units_user_is_created_in_the_groups_of_its_devices() -> None:
    sysusers = UNIT.with_name("fmd.sysusers.conf").read_text()
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(UNIT)
    assert re.search(rf"^u {parsed['Service']['User']} ", sysusers, re.MULTILINE)
    for group in ("gpio", "video", "audio"):
        assert re.search(rf"^m fmd {group}$", sysusers, re.MULTILINE)


def test_systemd_accepts_the_sysusers_file(tmp_path: Path) -> None:
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
    # Without its group a drop-in would stop the unit (216/GROUP).
    for name in ("fmd-gpu.conf", "fmd-sensor.conf"):
        drop_in = UNIT.with_name(name).read_text()
        for group in re.findall(r"^SupplementaryGroups=(.*)$", drop_in, re.MULTILINE)[0].split():
            assert group in groups

"""The web page's unit, as systemd's own tools check it offline, and the files and groups that it needs."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge import page_messages, paths
from edge.page import settings
from edge.page.settings import ServerSettings
from tests.edge.parts import ROOT
from tests.systemd.test_unit import analyze

UNIT = ROOT / "systemd/fmd-page.service"
EXPOSURE = 10
"""Highest exposure by `systemd-analyze security`, in tenths."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return the unit with a command that exists."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("/opt/fmd/bin/fmd", sys.executable))
    return path


def service(path: Path = UNIT) -> configparser.SectionProxy:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(path)
    return parsed["Service"]


def test_systemd_reports_no_problem_in_the_unit(unit: Path) -> None:
    found = analyze("verify", "--man=no", "--recursive-errors=yes", unit)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_its_exposure_is_at_most_that_in_the_readme(unit: Path) -> None:
    found = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", unit)
    assert found.returncode == 0, found.stdout
    readme = UNIT.with_name("README.md").read_text().partition("## The web page's sandbox")[2]
    assert f"an exposure of {EXPOSURE / 10}" in readme
    for name in re.findall(r"^✗ (\w+)=", found.stdout, re.MULTILINE):
        assert f"`{name}" in readme, name


def test_it_has_no_devices_and_no_files_of_the_service() -> None:
    has = service()
    assert (has["PrivateDevices"], has["DevicePolicy"], has["CapabilityBoundingSet"]) == ("yes", "closed", "")
    hidden = has["InaccessiblePaths"].split()
    for path in (paths.SETTINGS, paths.STATE, paths.model_folder(paths.STATE)):
        assert f"-{path}" in hidden
    assert "DeviceAllow" not in has
    assert not {"ReadWritePaths", "StateDirectory", "RuntimeDirectory", "SupplementaryGroups"} & has.keys()


def test_it_is_enabled_by_its_owner_alone() -> None:
    rules, installed = ((ROOT / "debian" / name).read_text() for name in ("rules", "fmd.postinst"))
    # Without names, dh_installsystemd enables every unit of the package.
    commands = re.findall(r"^\tdh_installsystemd (.*)$", rules, re.MULTILINE)
    assert [("--no-enable" in each, "fmd-page.service" in each) for each in commands] == [(False, False), (True, True)]
    assert all(re.search(r" [\w-]+\.service", each) for each in commands)
    assert re.search(r"\b(enable|start)\b[^\n]*fmd-page", installed) is None
    assert re.search(r"^WantedBy=multi-user.target$", UNIT.read_text(), re.MULTILINE)


def test_it_waits_longer_for_its_end_than_the_page_for_open_replies() -> None:
    from edge.page.server import END_S

    assert float(service()["TimeoutStopSec"]) > 2 * END_S


def test_sysusers_makes_its_user_in_no_group_of_the_service(tmp_path: Path) -> None:
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("systemd-sysusers is not installed")
    (tmp_path / "etc").mkdir()
    file = UNIT.with_name("fmd.sysusers.conf")
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", file], check=True, capture_output=True)
    groups = dict(line.split(":", 1) for line in (tmp_path / "etc/group").read_text().splitlines())
    user = service()["User"]
    assert user == service()["Group"] == page_messages.GROUP
    assert groups[page_messages.GROUP].endswith(":fmd"), "the service could not give its socket to the page's group"
    assert [name for name, line in groups.items() if user in line.split(":")[-1].split(",")] == []
    assert f"{user}:" in (tmp_path / "etc/passwd").read_text()


def test_the_package_brings_the_unit_and_its_settings_which_are_the_defaults() -> None:
    install = (ROOT / "debian/fmd.install").read_text().splitlines()
    assert f"systemd/{UNIT.name} lib/systemd/system" in install
    assert f"systemd/{paths.PAGE_SETTINGS.name} {str(paths.PAGE_SETTINGS.parent).removeprefix('/')}" in install
    assert f"--config {paths.PAGE_SETTINGS}\n" in UNIT.read_text()
    assert settings.load(UNIT.with_name("page.toml")) == ServerSettings()
    shown = re.search(r"```\n(port = .*?)```", (ROOT / "docs/page.md").read_text(), re.DOTALL)
    assert shown is not None
    assert re.findall(r"^(\w+) = ", shown[1], re.MULTILINE) == list(ServerSettings.__struct_fields__)

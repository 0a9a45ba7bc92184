"""The version of the package, which dpkg reads in a file that the build makes."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from types import ModuleType

import pytest

from tests.debian import scripts

pytest.importorskip("packaging")
OLDEST_FIRST = (
    *("0.1.dev0", "0.1.dev570+g8cca48803", "0.2.0.dev1", "0.2.0a1.dev2", "0.2.0a1", "0.2.0rc1", "0.2.0rc2", "0.2.0"),
    *("0.2.0.post1", "0.2.1.dev3+g589e58635.d20261130", "0.2.1", "0.10.0"),
)


@pytest.fixture(scope="module")
def changelog() -> ModuleType:
    return scripts.load("changelog")


@pytest.mark.parametrize(
    ("version", "debian"),
    [
        ("0.2.0", "0.2.0"),
        ("0.2.0rc1", "0.2.0~rc1"),
        ("0.2.1.dev3+gab", "0.2.1~~dev3+gab"),
        ("1.0a1.dev2", "1.0~a1~dev2"),
    ],
)
def test_a_version_as_debian_writes_it(changelog: ModuleType, version: str, debian: str) -> None:
    assert changelog.debian_version(version) == debian


@pytest.mark.skipif(not shutil.which("dpkg"), reason="no dpkg")
def test_dpkg_sorts_versions_as_pip_does(changelog: ModuleType) -> None:
    for older, newer in itertools.pairwise(map(changelog.debian_version, OLDEST_FIRST)):
        assert subprocess.run(["dpkg", "--compare-versions", older, "lt", newer], check=False).returncode == 0, older


@pytest.mark.skipif(not shutil.which("dpkg-parsechangelog"), reason="no dpkg-dev")
def test_dpkg_reads_the_file(changelog: ModuleType) -> None:
    read = ["dpkg-parsechangelog", "--file", "-", "--show-field"]
    fields = {
        field: subprocess.run(
            [*read, field],
            input=changelog.changelog("0.2.0rc1", 1795000000),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for field in ("Source", "Version", "Date")
    }
    assert fields == {"Source": "fmd", "Version": "0.2.0~rc1", "Date": "Wed, 18 Nov 2026 11:06:40 -0000"}

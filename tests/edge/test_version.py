"""The version comes from the newest tag, in every form in which the source reaches somebody."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge import version
from tests.edge.parts import ROOT

pytest.importorskip("setuptools_scm")
GIT = ("git", "-c", "user.name=fmd", "-c", "user.email=fmd@localhost", "-c", "init.defaultBranch=main")
STATES_THE_VERSION = ("pyproject.toml", "setup.cfg", ".gitattributes", ".git_archival.txt")


def git(folder: Path, *words: str) -> bytes:
    return subprocess.run([*GIT, "-C", folder, *words], capture_output=True, check=True).stdout


def version_in(folder: Path) -> str:
    """Return the version without the hash, which differs between versions of setuptools-scm in length."""
    command = [sys.executable, "-W", "ignore", "-m", "setuptools_scm"]
    return (
        subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.partition("+")[0].strip()
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the files that state the version, and three commits without a tag."""
    if "$Format:" not in (ROOT / ".git_archival.txt").read_text(encoding="utf-8"):
        pytest.skip("an unpacked archive: its version is filled in")
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in STATES_THE_VERSION:
        shutil.copy(ROOT / name, folder)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    for subject in ("one", "two", "three"):
        git(folder, "commit", "-q", "--allow-empty", "-m", subject)
    return folder


def packed(repository: Path, out: Path) -> Path:
    """Unpack what ``git archive`` packs, as the download of a source archive does."""
    out.mkdir()
    subprocess.run(["tar", "-x", "-C", out], input=git(repository, "archive", "HEAD"), check=True)
    return out


def test_a_tagged_commit_has_the_version_of_its_tag(repository: Path, tmp_path: Path) -> None:
    git(repository, "tag", "v1.2.3")
    assert version_in(repository) == "1.2.3"
    assert version_in(packed(repository, tmp_path / "archive")) == "1.2.3"
    git(tmp_path, "clone", "-q", "--depth=1", "--branch=v1.2.3", f"file://{repository}", "shallow")
    assert version_in(tmp_path / "shallow") == "1.2.3"


def test_a_later_commit_precedes_the_next_version(repository: Path, tmp_path: Path) -> None:
    git(repository, "tag", "v1.2.3")
    git(repository, "commit", "-q", "--allow-empty", "-m", "later")
    assert version_in(repository) == "1.2.4.dev1"
    assert version_in(packed(repository, tmp_path / "archive")) == "1.2.4.dev1"


def test_source_without_a_tag_precedes_the_first_version(repository: Path, tmp_path: Path) -> None:
    assert version_in(repository) == "0.1.dev3"
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", "shallow")
    assert version_in(tmp_path / "shallow") == "0.1.dev1"
    assert version_in(packed(repository, tmp_path / "archive")) == "0.0"
    shutil.rmtree(repository / ".git")
    assert version_in(repository) == "0.1.dev0"


def test_a_checkout_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "DISTRIBUTION", "fmd-that-is-not-installed")
    assert version.version() == version.NOT_INSTALLED


def test_no_file_states_a_version_of_its_own() -> None:
    assert "\nversion =" not in (ROOT / "setup.cfg").read_text(encoding="utf-8").partition("[options]")[0]
    assert not (ROOT / "debian/changelog").exists()


def test_versions_sort_by_their_numbers() -> None:
    ordered = ["0.1.dev0", "0.1.dev1234+gabc.d2026", "0.1rc1", "0.1rc2.dev3", "0.1rc2", "0.1", "0.1.1.dev5", "0.1.1"]
    numbers = [version.number(text) for text in [*ordered, "0.2", "1.0.0", "1.2.3", "1.10.0"]]
    assert None not in numbers
    assert numbers == sorted(set(filter(None, numbers)))
    assert version.number("1.2.3") == 1_002_003


@pytest.mark.parametrize("text", ["", "1", "abc", "1.2.3junk", version.NOT_INSTALLED])
def test_what_is_no_version_has_no_number(text: str) -> None:
    assert version.number(text) is None

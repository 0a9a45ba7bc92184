"""A release is refused unless it can be found, verified and described, and each refusal says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import EXIT_KNOWN
from release import signing
from release.address import PLACEHOLDER
from release.errors import ReleaseError
from release.refusals import PACKAGES, permitted
from release.shell import missing
from tests.edge.parts import ROOT
from tests.release.conftest import SETUP, git

pytestmark = pytest.mark.skipif(bool(missing(PACKAGES)), reason=f"a program is missing: {', '.join(PACKAGES)}")


def commit(folder: Path, tag: str) -> None:
    """Commit all changes and move to them the tag that the fixture has made, under another name."""
    git(folder, "commit", "-q", "-a", "--allow-empty", "-m", "changed")
    git(folder, "tag", tag)


def placeholder(folder: Path) -> None:
    (folder / "setup.cfg").write_text(SETUP.format(address=PLACEHOLDER))
    git(folder, "tag", "-d", "v1.2.3")
    commit(folder, "v1.2.3")


def elsewhere(folder: Path) -> None:
    (folder / "setup.cfg").write_text(SETUP.format(address="http://example.org/fmd/"))
    git(folder, "tag", "-d", "v1.2.3")
    commit(folder, "v1.2.3")


def test_a_clean_tagged_checkout_may_be_released(repository: Path, key: str) -> None:
    release = permitted(repository)
    assert release == (repository, "1.2.3", "https://github.com/Someone/fmd", key)


@pytest.mark.parametrize(
    ("spoil", "wrong", "fix"),
    [
        (lambda r: (r / "new.py").write_text("x"), "the checkout differs from its commit (new.py)", "commit it"),
        (lambda r: (r / "setup.cfg").write_text("x"), "differs from its commit (setup.cfg)", "git stash -u"),
        (lambda r: git(r, "tag", "-d", "v1.2.3"), "no tag of a version is at this commit", "git tag v1.2.3"),
        (
            lambda r: git(r, "commit", "-q", "--allow-empty", "-m", "later"),
            "no tag of a version",
            "git checkout v1.2.3",
        ),
        (lambda r: git(r, "tag", "v1.2.4"), "several tags of versions (v1.2.3, v1.2.4)", "delete all but one"),
        (lambda r: commit(r, "v1.2.3.dev1"), "tag v1.2.3.dev1", "expected v1.2.3"),
        (lambda r: commit(r, "v1.02"), "tag v1.02", "expected v1.2"),
        (lambda r: commit(r, "v1-what"), "tag v1-what: not a version", "such as v1.2.3"),
        (placeholder, f"is the placeholder {PLACEHOLDER}", "python -m release.address https://github.com/OWNER/NAME"),
        (elsewhere, "got 'http://example.org/fmd/'", "python -m release.address"),
        (lambda r: commit(r, "v1.3.0"), "no section for 1.3.0 (found Unreleased, 1.2.3", "## [1.3.0] - YYYY-MM-DD"),
        (lambda r: commit(r, "v1.2.2"), "[1.2.2] has no date", "## [1.2.2] - YYYY-MM-DD"),
        (lambda r: commit(r, "v1.2.1"), "[1.2.1] is empty", "write what users notice"),
    ],
)
def test_a_release_is_refused(
    repository: Path, key: str, spoil: Callable[[Path], object], wrong: str, fix: str
) -> None:
    spoil(repository)
    with pytest.raises(ReleaseError) as refused:
        permitted(repository)
    assert wrong in str(refused.value)
    assert fix in str(refused.value)


def test_what_is_no_clone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="is no clone"):
        permitted(tmp_path)


def test_a_release_without_a_key_is_refused(repository: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(signing.VARIABLE)
    with pytest.raises(ReleaseError, match=r"FMD_SIGNING_KEY is not set.*gpg --quick-generate-key"):
        permitted(repository)
    monkeypatch.setenv(signing.VARIABLE, "nobody@example.org")
    with pytest.raises(ReleaseError, match=r"no secret key 'nobody@example\.org'"):
        permitted(repository)


def test_a_machine_without_the_programs_is_refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    with pytest.raises(ReleaseError, match="sudo apt install build-essential debhelper apt-utils gnupg"):
        permitted(repository)


def test_the_command_refuses_in_one_line(tmp_path: Path) -> None:
    """This checkout has the placeholder, or no tag, or changes: none of it may be released by a test."""
    environment = {**os.environ, signing.VARIABLE: ""}
    command = [sys.executable, "-m", "release.build", "--out", str(tmp_path / "dist")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (EXIT_KNOWN, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "dist").exists()

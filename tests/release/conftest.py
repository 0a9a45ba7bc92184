"""A key that signs, and repositories from which a release could be made."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from release import signing

GIT = ("git", "-c", "user.name=fmd", "-c", "user.email=fmd@localhost", "-c", "init.defaultBranch=main")
SETUP = "[metadata]\nname = fmd-edge\nurl = {address}\n"
CHANGELOG = """\
# Changelog

## [Unreleased]

## [1.2.3] - 2026-11-30

### Added

- A thing, described [here](docs/thing.md#how).

## [1.2.2]

- Without a date.

## [1.2.1] - 2026-10-01

## [1.2.0] - 2026-09-01

- The first.
"""


def git(folder: Path, *words: str) -> str:
    """Run git in a folder and return what it prints."""
    return subprocess.run([*GIT, "-C", folder, *words], capture_output=True, check=True, text=True).stdout


@pytest.fixture(scope="session")
def key() -> Iterator[str]:
    """The fingerprint of a throw-away key, in a keyring of its own."""
    if not shutil.which("gpg"):
        pytest.skip("no gpg")
    # A short path: the socket of GnuPG's agent is in this folder.
    home = Path(tempfile.mkdtemp(prefix="fmd-gpg-", dir="/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNUPGHOME", str(home))
        make = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", "fmd tests", "ed25519", "sign", "never"]
        subprocess.run(make, check=True, capture_output=True)
        patch.setenv(signing.VARIABLE, "fmd tests")
        yield signing.signing_key(home)
        subprocess.run(["gpgconf", "--kill", "all"], check=False)
    shutil.rmtree(home, ignore_errors=True)  # the agent removes its sockets meanwhile


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clean repository with a tag, notes and an address, from which a release may be made."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "setup.cfg").write_text(SETUP.format(address="https://github.com/Someone/fmd"))
    (folder / "CHANGELOG.md").write_text(CHANGELOG)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "all")
    git(folder, "tag", "v1.2.3")
    return folder

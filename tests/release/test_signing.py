"""Signatures that a stranger's GnuPG accepts, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from release.build import SUMS, write_sums
from release.signing import public_key, sign


def verified(signature: Path, file: Path | None, keyring: Path) -> bool:
    """Return whether gpgv, which apt uses, accepts a signature by the keys in ``keyring``."""
    files = [signature, file] if file else [signature]
    return subprocess.run(["gpgv", "--keyring", keyring, *files], capture_output=True, check=False).returncode == 0


@pytest.fixture
def keyring(key: str, tmp_path: Path) -> Path:
    public_key(key, tmp_path / "fmd.asc")
    subprocess.run(["gpg", "--dearmor", "--output", tmp_path / "fmd.gpg", tmp_path / "fmd.asc"], check=True)
    return tmp_path / "fmd.gpg"


def test_a_signature_fits_its_file_alone(key: str, keyring: Path, tmp_path: Path) -> None:
    file, signature = tmp_path / "file", tmp_path / "file.asc"
    file.write_text("one\n")
    sign(file, key, signature)
    assert verified(signature, file, keyring)
    file.write_text("two\n")
    assert not verified(signature, file, keyring)


def test_a_signed_text_contains_it(key: str, keyring: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one\n")
    sign(tmp_path / "file", key, tmp_path / "signed", inside=True)
    assert "\none\n" in (tmp_path / "signed").read_text()
    assert verified(tmp_path / "signed", None, keyring)


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="no sha256sum")
def test_the_sums_are_those_of_every_attached_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("b", "a"):
        (tmp_path / name).write_text(name)
    write_sums(tmp_path)
    check = ["sha256sum", "--check", SUMS]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=True).stdout == "a: OK\nb: OK\n"
    (tmp_path / "a").write_text("changed")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 1

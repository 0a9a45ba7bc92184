"""Passwords: hashes that state their parameters, and the file that holds one per role."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge.errors import SettingsError
from edge.page import password
from tests.edge.parts import ROOT

HASH = password.hashed("correct horse")


def test_a_hash_matches_its_password_alone() -> None:
    assert password.matches("correct horse", HASH)
    assert not password.matches("correct horsf", HASH)
    assert not password.matches("", HASH)


def test_two_hashes_of_one_password_differ() -> None:
    other = password.hashed("correct horse")
    assert other != HASH
    assert password.matches("correct horse", other)


def test_a_hash_with_other_parameters_is_computed_with_those() -> None:
    import base64
    import hashlib

    digest = hashlib.scrypt(b"correct horse", salt=b"0" * 16, n=256, r=4, p=2, dklen=32)
    salt, shown = (base64.b64encode(data).decode() for data in (b"0" * 16, digest))
    assert password.matches("correct horse", f"$scrypt$n=256,r=4,p=2${salt}${shown}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (HASH, ""),
        (HASH, "correct horse"),
        ("scrypt", "bcrypt"),
        ("n=16384", "n=16383"),
        ("n=16384", "n=0"),
        ("r=8", "r=0"),
        ("p=5", "p=999"),
        # It would take a gigabyte.
        ("n=16384", "n=1048576"),
        (HASH, HASH + "\n"),
        (HASH[-3:], "==="),
    ],
    # The hash is another in each process, and those that run tests beside each other must agree on names.
    ids=range(10),
)
def test_what_is_no_hash_of_fmd_is_an_error_and_never_a_match(old: str, new: str) -> None:
    assert old in HASH
    with pytest.raises(SettingsError):
        password.matches("correct horse", HASH.replace(old, new))


def test_the_file_keeps_one_hash_per_role() -> None:
    hashes = {"owner": HASH, "viewer": password.hashed("look only")}
    assert password.read(password.written(hashes)) == hashes
    assert password.read("# comment\n\n") == {}


@pytest.mark.parametrize(
    "text", [f"root:{HASH}", f"owner:{HASH}\nowner:{HASH}", "owner", "owner:x", "\x00"], ids=range(5)
)
def test_a_damaged_file_is_an_error(text: str) -> None:
    with pytest.raises(SettingsError):
        password.read(text)


def test_the_problems_of_new_passwords_are_named() -> None:
    assert password.problem("short").startswith("got 5 characters")
    assert password.problem("a" * 300).startswith("got 300 characters")
    assert "repeats" in password.problem("aaaaaaaaab")
    assert "keyboard" in password.problem("pass\x00word")
    assert password.problem("correct horse") == ""


def test_the_module_needs_no_library(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('msgspec', 'starlette', 'numpy', 'cv2', 'jinja2')));"
        "from edge.page import password; print(password.matches('correct horse', sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, HASH], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("True\n", "")

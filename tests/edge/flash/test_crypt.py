"""Password hashes: the same as openssl's and libcrypt's, for passwords of every length and script."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from edge.errors import SettingsError
from edge.flash.crypt import ALPHABET, DEFAULT_ROUNDS, LONGEST, hashed

LENGTHS = (1, 2, 7, 8, 15, 16, 31, 32, 63, 64, 65, 100, 127, 128, 129, 200, 255, 256)


def password(dice: random.Random, size: int) -> str:
    """A printable password of ``size`` bytes, of one or of several scripts."""
    ranges = dice.choice(
        [[(33, 126)], [(33, 126), (0xA1, 0xAC)], [(0x391, 0x3A1), (0x3041, 0x3096), (0x1F600, 0x1F640)]]
    )
    text = ""
    while len(text.encode()) < size:
        one = chr(dice.randint(*dice.choice(ranges)))
        text += one if len((text + one).encode()) <= size else "x"
    return text


@pytest.mark.parametrize("size", LENGTHS)
def test_hashes_are_those_of_openssl(size: int) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine")
    dice = random.Random(size)
    salt = "".join(dice.choices(ALPHABET, k=dice.randint(1, 16)))
    words = [password(dice, size) for _ in range(12)]
    done = subprocess.run(
        ["openssl", "passwd", "-6", "-salt", salt, "-stdin"],
        input="".join(f"{word}\n" for word in words).encode(),
        capture_output=True,
        check=True,
    )
    assert [hashed(word, salt, DEFAULT_ROUNDS) for word in words] == done.stdout.decode().splitlines()


@pytest.mark.parametrize("rounds", [1000, 5000, 10_000])
@pytest.mark.parametrize("size", [1, 257, 400, LONGEST])
def test_hashes_are_those_of_libcrypt(size: int, rounds: int) -> None:
    crypt = pytest.importorskip("crypt", reason="Python 3.13 has no crypt")
    word = password(random.Random(size), size)
    assert hashed(word, "saltstring", rounds) == crypt.crypt(
        word, f"$6$rounds={rounds}$saltstring".replace("rounds=5000$", "")
    )


def test_every_hash_has_another_salt_and_states_its_rounds() -> None:
    first, second = hashed("hush"), hashed("hush")
    assert first != second
    assert first.startswith("$6$rounds=100000$")


@pytest.mark.parametrize("word", ["", "x" * 512, "é" * 256, "a\nb", "a\x00b", "a\udcffb"])
def test_passwords_that_no_login_takes_are_refused(word: str) -> None:
    with pytest.raises(SettingsError, match="expected 1 to 511"):
        hashed(word)

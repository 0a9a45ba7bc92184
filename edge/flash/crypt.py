"""Password hashes of a Linux login: SHA-512 of crypt(5), which Python 3.13 no longer has.

After Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512" (2007); the numbers in the comments are its steps.
"""

from __future__ import annotations

import hashlib
import secrets

from edge.errors import SettingsError

ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SALT_LENGTH = 16
DEFAULT_ROUNDS = 5000
"""Rounds of a hash that does not state them."""
ROUNDS = 100_000
"""Rounds of new hashes. The card is readable to anyone who holds it, so guessing must cost more than by default; a Pi
needs a fraction of a second per login."""
LONGEST = 511
"""Bytes of the longest password that a Linux login takes."""


def hashed(password: str, salt: str = "", rounds: int = ROUNDS) -> str:
    """Return the hash of ``password`` with ``salt`` (random if empty), as /etc/shadow holds it.

    Raises SettingsError as :func:`check` does.
    """
    check(password)
    key = password.encode()
    salt = salt or "".join(secrets.choice(ALPHABET) for _ in range(SALT_LENGTH))
    stated = "" if rounds == DEFAULT_ROUNDS else f"rounds={rounds}$"
    return f"$6${stated}{salt}${_encoded(_digest(key, salt.encode(), rounds))}"


def check(password: str) -> None:
    """Raise SettingsError for a password that no login takes: empty, too long, not printable."""
    size = len(password.encode("utf-8", "surrogateescape"))
    if not 1 <= size <= LONGEST or not password.isprintable():
        raise SettingsError(f"a password of {size} bytes, expected 1 to {LONGEST} of printable characters")


def _digest(key: bytes, salt: bytes, rounds: int) -> bytes:
    # 4 to 8: the alternate sum.
    alternate = hashlib.sha512(key + salt + key).digest()
    # 9 to 12: one block of it per bit of the password's length, itself or the password.
    first = hashlib.sha512(key + salt + _stretched(alternate, len(key)))
    length = len(key)
    while length:
        first.update(alternate if length & 1 else key)
        length >>= 1
    digest = first.digest()
    # 13 to 20: the sequences P and S.
    p = _stretched(hashlib.sha512(key * len(key)).digest(), len(key))
    s = _stretched(hashlib.sha512(salt * (16 + digest[0])).digest(), len(salt))
    # 21
    for number in range(rounds):
        block = hashlib.sha512(p if number & 1 else digest)
        if number % 3:
            block.update(s)
        if number % 7:
            block.update(p)
        block.update(digest if number & 1 else p)
        digest = block.digest()
    return digest


def _stretched(block: bytes, length: int) -> bytes:
    """Return ``length`` bytes of ``block`` repeated."""
    return (block * (length // len(block) + 1))[:length]


def _encoded(digest: bytes) -> str:
    """Return the 64 bytes as 86 characters (22e): three bytes 21 apart at a time, whose order rotates."""
    text = ""
    for number in range(21):
        three = digest[number], digest[number + 21], digest[number + 42]
        turn = number % 3
        high, middle, low = three[turn:] + three[:turn]
        text += _characters(high << 16 | middle << 8 | low, 4)
    return text + _characters(digest[63], 2)


def _characters(value: int, count: int) -> str:
    return "".join(ALPHABET[value >> 6 * index & 0x3F] for index in range(count))

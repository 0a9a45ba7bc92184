"""Passwords of the web page: scrypt hashes, and the file that holds one per role. Needs the standard library alone.

The file has one line per role, ``owner:$scrypt$n=16384,r=8,p=5$SALT$HASH``. There is no default password: a role
without a line cannot sign in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Mapping

from edge.errors import SettingsError

ROLES = ("owner", "viewer")
"""Who may sign in: the owner changes things, the viewer changes nothing."""
COST, BLOCK, LANES = 1 << 14, 8, 5
"""scrypt's n, r and p: 16 MB of memory, and about a second on a Raspberry Pi 3."""
MOST_MEMORY = 64 << 20
"""Most memory that a stored hash may ask for, in bytes: the page has little."""
MOST_LANES = 16
SALT_BYTES, HASH_BYTES = 16, 32
SHORTEST, LONGEST = 8, 256
"""Characters of a password. scrypt accepts any length; a form of megabytes is no password."""
FORM = re.compile(r"\$scrypt\$n=(\d{1,8}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/=]{16,88})\$([A-Za-z0-9+/=]{16,88})")


def problem(password: str) -> str:
    """Return why a new password cannot be used, or ""."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"got {len(password)} characters, expected {SHORTEST} to {LONGEST}"
    if len(set(password)) < 4:
        return "it repeats the same few characters; choose another"
    return "" if password.isprintable() else "it has a character that no keyboard types"


def hashed(password: str, cost: int = COST, lanes: int = LANES) -> str:
    """Return the hash of a password with a new salt, in one line that states its own parameters."""
    salt = os.urandom(SALT_BYTES)
    digest = _scrypt(password, salt, cost, BLOCK, lanes, HASH_BYTES)
    return f"$scrypt$n={cost},r={BLOCK},p={lanes}${_text(salt)}${_text(digest)}"


def matches(password: str, stored: str) -> bool:
    """Return whether ``stored`` is a hash of ``password``. Raises SettingsError if it is no hash of this module."""
    n, r, p, salt, digest = _parsed(stored)
    return hmac.compare_digest(_scrypt(password, salt, n, r, p, len(digest)), digest)


def written(hashes: Mapping[str, str]) -> str:
    """Return the content of a password file: role -> hash."""
    return "".join(f"{role}:{hashes[role]}\n" for role in ROLES if role in hashes)


def read(text: str) -> dict[str, str]:
    """Return role -> hash of a password file's content. Raises SettingsError that names the line."""
    hashes = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        role, _, stored = line.strip().partition(":")
        if role not in ROLES or role in hashes:
            raise SettingsError(f"line {number}: got the role {role[:20]!r}, expected each of {', '.join(ROLES)} once")
        _parsed(stored)
        hashes[role] = stored
    return hashes


def _parsed(stored: str) -> tuple[int, int, int, bytes, bytes]:
    """Return n, r, p, salt and digest of a hash."""
    found = FORM.fullmatch(stored)
    if found is None:
        raise SettingsError("not a password hash of fmd; to fix this, set the password again: sudo fmd page password")
    n, r, p = (int(found[at]) for at in (1, 2, 3))
    if n < 2 or n & (n - 1) or not r or not 0 < p <= MOST_LANES or 128 * n * r > MOST_MEMORY:
        raise SettingsError(f"a password hash with n={n}, r={r}, p={p}, which this fmd does not compute")
    try:
        return n, r, p, base64.b64decode(found[4], validate=True), base64.b64decode(found[5], validate=True)
    except binascii.Error as error:
        raise SettingsError("a damaged password hash; set the password again: sudo fmd page password") from error


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int, length: int) -> bytes:
    # OpenSSL refuses by default what needs more than 32 MB, and counts a little more than 128 n r.
    memory = 128 * r * (n + p + 2) + (1 << 20)
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=length
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()

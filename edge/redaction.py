"""Removes secrets from text that leaves fmd: log, errors, status, messages, doctor.

:func:`redact` is the only function that does it. It hides what an address shows of its login and query, and every
secret that :func:`learn` has been given: passwords and tokens of addresses, contents of secret files. Errors, the log
and the parser call it, so that no other place needs to.
"""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote, urlsplit

HIDDEN = "***"
SHORTEST = 5
"""Shorter secrets are hidden within addresses only: as words of their own they would hide half of every sentence."""
LONG = 10
"""From this length on a secret is hidden within words as well: a library may join a token to something else."""
CAMERAS = ("rtsp", "rtsps", "http", "https")
"""Schemes of which host and path are no secrets; those of notification services may hold tokens anywhere."""
# Not the example of an address in fmd's own messages. As a real password, "password" is learned.
_LOGIN = re.compile(r"(?<=://)(?!user:password@host[:/])[^\s/@'\"]*(?:/[^\s@'\"]*)?@(?=[^\s@'\"/])")
_QUERY = re.compile(r"(://[^\s?'\"]*\?)[^\s'\"]+")
_NAMED = re.compile(r"\b((?:pass|pwd|passwd|password|token|secret|apikey|api_key)=)[^\s&'\"]+", re.IGNORECASE)
_secrets: set[str] = set()
_known: re.Pattern[str] | None = None


def redact(text: str) -> str:
    """Return ``text`` without the secrets in it."""
    if _known is not None:
        text = _known.sub(HIDDEN, text)
    if "://" in text:
        text = _QUERY.sub(rf"\1{HIDDEN}", _LOGIN.sub(f"{HIDDEN}@", text))
    return _NAMED.sub(rf"\1{HIDDEN}", text) if "=" in text else text


def learn(text: str, secret: bool = False) -> None:
    """Remember the secrets in ``text`` from now on: those of an address, or, if it is a ``secret``, all of it."""
    found = {text} if secret else set()
    for address in re.findall(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"\]}]+", text):
        found |= _parts(address)
    forms = {form for part in found for form in (part, unquote(part), quote(part, ""), quote(part), quote_plus(part))}
    new = {form for form in forms if len(form) >= SHORTEST} - _secrets
    if new:
        global _known
        _secrets.update(new)
        # The longest first, or its rest would stay. Short ones not within words: "secretary" holds no "secret".
        words = (
            re.escape(word) if len(word) >= LONG else rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])"
            for word in sorted(_secrets, key=len, reverse=True)
        )
        _known = re.compile("|".join(words))


def forget() -> None:
    """Forget all secrets, for tests."""
    global _known
    _secrets.clear()
    _known = None


def _parts(address: str) -> set[str]:
    """Return the parts of an address that are secrets, or may be."""
    scheme, _, rest = address.partition("://")
    login, at, where = rest.rpartition("@")
    # A user name alone is none; that of a notification service may be a token.
    user, colon, password = login.partition(":")
    parts = {password} if colon else set()
    if scheme.lower() in CAMERAS:
        return parts | _query(where)
    host, _, path = where.partition("/")
    parts |= {user} | {word for word in re.split(r"[/?&=:@]", path) if len(word) > SHORTEST}
    return parts | ({host} if "." not in host and not at and path else set())


def _query(where: str) -> set[str]:
    try:
        query = urlsplit(f"//{where}").query
    except ValueError:
        return set()
    return {value for _, sign, value in (pair.partition("=") for pair in query.split("&")) if sign}

"""Sessions: who is signed in, until when, and the token that every form must return."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

IDLE_S, ABSOLUTE_S = 30 * 60.0, 12 * 3600.0
"""A session ends without interaction for this long, and this long after signing in in any case."""
MOST = 32
"""Sessions at once; a further one ends the one that was idle longest."""


@dataclass
class Session:
    """A visitor. ``role`` is "" before signing in. Times are seconds of one monotonic clock.

    ``csrf`` is the token of its forms. ``key`` identifies the password it signed in with. ``said`` is what the next
    page shows once, such as the result of a change.
    """

    role: str = ""
    address: str = ""
    key: str = ""
    opened_s: float = 0.0
    active_s: float = 0.0
    said: str = ""
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def who(self) -> str:
        """Role and address, as they are recorded."""
        return f"{self.role or 'not signed in'}, {self.address}"

    def has(self, csrf: str) -> bool:
        """Return whether a form's token is that of this session."""
        return bool(self.role) and hmac.compare_digest(self.csrf.encode(), csrf.encode("utf-8", "replace"))


class Sessions:
    """All sessions, by the digest of their token: a copy of this process' memory gives no token."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}

    def open(self, role: str, address: str, key: str = "") -> tuple[str, Session]:
        """Return a new session and its token."""
        now_s = self._clock()
        self._drop_old(now_s)
        while len(self._sessions) >= MOST:
            del self._sessions[min(self._sessions, key=lambda digest: self._sessions[digest].active_s)]
        token = secrets.token_urlsafe(32)
        session = Session(role, address, key, now_s, now_s)
        self._sessions[_digest(token)] = session
        return token, session

    def find(self, token: str) -> Session | None:
        """Return the session of a token, or None."""
        session = self._sessions.get(_digest(token))
        return session if session is not None and _lasts(session, self._clock()) else None

    def close(self, session: Session) -> None:
        """End a session."""
        self._sessions = {digest: each for digest, each in self._sessions.items() if each is not session}

    def open_now(self, session: Session) -> bool:
        """Return whether a session has neither been closed nor expired."""
        return any(each is session for each in self._sessions.values()) and _lasts(session, self._clock())

    def touch(self, session: Session) -> None:
        """Note an interaction: the session lasts on, and its pictures go on."""
        session.active_s = self._clock()

    def idle_s(self, session: Session) -> float:
        """Return the seconds since the last interaction."""
        return self._clock() - session.active_s

    def _drop_old(self, now_s: float) -> None:
        self._sessions = {digest: each for digest, each in self._sessions.items() if _lasts(each, now_s)}


def _lasts(session: Session, now_s: float) -> bool:
    return now_s - session.active_s < IDLE_S and now_s - session.opened_s < ABSOLUTE_S


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()

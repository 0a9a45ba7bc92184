"""What ``fmd config set`` and ``fmd config reset`` do: ask the running fmd for a change, as the web page does."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge import page_messages
from edge.control import Client
from edge.errors import SettingsError
from edge.page_messages import ChangeReply, ChangeRequest, SettingsReply, SettingsRequest, SettingView

ALL = "all"
ANSWER_S = 60.0
"""Longest wait for a change: fmd replies once a frame has passed all stages with it."""


class PageSocket(Client):
    """Connection to the socket of the web page, which root may use as well."""

    SOCKET, REPLIES, PERMISSION = page_messages.SOCKET, page_messages.Reply, "use sudo"


def change(runtime: Path, words: Sequence[str], reset: bool, confirmed: bool) -> str:
    """Have the fmd of this runtime directory change settings, and return what it says.

    ``words`` are ``KEY=VALUE``, or keys to ``reset``. Raises SettingsError if it refuses, ControlError if none runs.
    """
    with PageSocket(runtime, ANSWER_S) as client:
        known = {setting.key: setting for setting in client.ask(SettingsRequest(), SettingsReply).settings}
        changes = _reset(words, known) if reset else dict(map(_assigned, words))
        if not changes:
            raise SettingsError("expected settings to reset, or all" if reset else "expected section.key=value")
        if not confirmed:
            _check_harmless(changes, known)
        reply = client.ask(ChangeRequest(changes=changes, confirmed=confirmed, who=_caller()), ChangeReply)
    if not reply.applied:
        why = [f"{key}: {error}" if key else error for key, error in reply.errors.items()]
        raise SettingsError("; ".join(why) or reply.words)
    return reply.words


def _assigned(word: str) -> tuple[str, str | None]:
    key, sign, value = word.partition("=")
    if not sign:
        raise SettingsError(f"{key}: expected section.key=value, as in watch.contrast=8")
    return key.strip(), value


def _reset(words: Sequence[str], known: Mapping[str, SettingView]) -> dict[str, str | None]:
    changed = [key for key, setting in known.items() if setting.origin == "page"]
    if list(words) == [ALL]:
        if not changed:
            raise SettingsError("no setting was changed through the running fmd")
        return dict.fromkeys(changed)
    if untouched := [word for word in words if word in known and word not in changed]:
        raise SettingsError(f"{untouched[0]}: was not changed through the running fmd; fmd config diff shows what was")
    return dict.fromkeys(words)


def _check_harmless(changes: Mapping[str, str | None], known: Mapping[str, SettingView]) -> None:
    if risky := [key for key in changes if key in known and known[key].access == "confirm"]:
        why = "a wrong value leaves the door without alarms, or shows more of people"
        raise SettingsError(f"{', '.join(risky)}: {why}; confirm with --yes")


def _caller() -> str:
    return f"command, {os.environ.get('SUDO_USER') or getpass.getuser()}"[:200]

"""Mosquitto's users, their rights and its certificate; what must happen so that it uses them."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from edge import certificates, paths, redaction
from edge.certificates import Pair
from edge.errors import HubError, RuntimeMissingError
from edge.hub.files import Hub, Kind

RIGHTS: dict[Kind, str] = {"reader": "read", "operator": "readwrite"}
"""Kind of member -> what it may do with the topics of all doors. The static rights of doors and sites hold by name."""
MARK = "# Members with more rights, which fmd enrol adds and removes:\n"
PASSWORD_BYTES = 32
HASH_S = 60.0
MOSQUITTO = "mosquitto"
STARTS_S = 2.0
"""Longest time from mosquitto's start until it handles signals."""


def set_up(hub: Hub, names: Sequence[str]) -> None:
    """Make what the broker's configuration names; its authority, users and a changed configuration stay.

    Raises HubError for half an authority, RuntimeMissingError without openssl, SettingsError for a bad name, OSError.
    """
    pair = _authority(hub)
    server = certificates.signed(names, pair)
    # Both in one file, so that they can never be of different makes.
    hub.write(hub.server, server.certificate + server.key, for_broker=True)
    hub.write(hub.passwords, hub.read(hub.passwords), for_broker=True)
    set_rights(hub)
    settings = hub.under(paths.HUB_BROKER)
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        hub.write(settings, paths.broker_template("hub.conf").read_bytes(), for_all=True)


def _authority(hub: Hub) -> Pair:
    found = Pair(hub.read(hub.authority), hub.read(hub.authority_key))
    if found.certificate and found.key:
        return found
    if found.certificate:
        raise HubError(
            f"{hub.authority_key}: no such file, and doors trust {hub.authority}; restore the key, or delete both "
            "and enrol all doors again"
        )
    made = certificates.authority()
    hub.write(hub.authority_key, made.key)
    hub.write(hub.authority, made.certificate, for_all=True)
    return made


def users(hub: Hub) -> set[str]:
    """Return the names that may connect. Raises OSError."""
    return {line.partition(b":")[0].decode(errors="replace") for line in hub.read(hub.passwords).splitlines() if line}


def new_password() -> str:
    """Return a random password that no list contains."""
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    redaction.learn(password)
    return password


def set_password(hub: Hub, name: str, password: str | None) -> None:
    """Give ``name`` another password, or with None take its access; all other lines stay.

    Raises RuntimeMissingError without mosquitto_passwd, HubError if that refuses, OSError.
    """
    lines = [line for line in hub.read(hub.passwords).splitlines() if line.partition(b":")[0] != name.encode()]
    if password is not None:
        lines.append(_hashed(name, password))
    hub.write(hub.passwords, b"".join(line + b"\n" for line in lines), for_broker=True)


def _hashed(name: str, password: str) -> bytes:
    """Return the line of mosquitto's file. The password is on no command line, which every user could read."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "passwords")
        file.touch(0o600)
        file.write_text(f"{name}:{password}\n")
        command = ["mosquitto_passwd", "-U", str(file)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HASH_S)
        except FileNotFoundError as error:
            raise RuntimeMissingError("a hub needs mosquitto_passwd: sudo apt install mosquitto") from error
        line = file.read_bytes().strip()
    if done.returncode or not line.startswith(f"{name}:$".encode()) or password.encode() in line:
        raise HubError(f"mosquitto_passwd made no hash: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return line


def set_rights(hub: Hub, name: str = "", kind: Kind | None = None) -> None:
    """Write the rights of all members; those of ``name`` are of ``kind`` now, None for none. Raises OSError.

    Lines that a person added below the mark stay.
    """
    own = hub.read(hub.acl).decode(errors="surrogateescape").partition(MARK)[2]
    if name:
        own = re.sub(rf"^user {re.escape(name)}\n(?:topic .*\n)*", "", own, flags=re.MULTILINE)
    if kind in RIGHTS:
        own += f"user {name}\ntopic {RIGHTS[kind]} fmd/#\n"
    static = paths.broker_template("acl").read_text(encoding="utf-8")
    hub.write(hub.acl, f"{static}\n{MARK}{own}".encode(errors="surrogateescape"), for_broker=True)


def reload(hub: Hub) -> bool:
    """Make mosquitto read its files again, which ends connections without a right; return whether it runs here."""
    try:
        number = int(hub.read(hub.under(paths.HUB_PID)))
        process = Path(f"/proc/{number}")
        # The number of a process that has ended may be another's now.
        if process.joinpath("comm").read_text().strip() != MOSQUITTO or not _listens(process / "status"):
            return False
        os.kill(number, signal.SIGHUP)
    except (OSError, ValueError, IndexError):
        return False
    return True


def _listens(status: Path) -> bool:
    """Wait until a process handles SIGHUP; one that has just started does not yet, and the signal would end it."""
    until_s = time.monotonic() + STARTS_S
    while True:
        caught = int(re.findall(r"^SigCgt:\s*([0-9a-f]+)$", status.read_text(), re.MULTILINE)[0], 16)
        if caught >> (signal.SIGHUP - 1) & 1:
            return True
        if time.monotonic() >= until_s:
            return False
        time.sleep(STARTS_S / 20)

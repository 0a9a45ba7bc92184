"""The folder that the owner copies: settings and secrets of a door, of a site's broker, or of a program that reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge import paths
from edge.errors import HubError
from edge.files import write_atomically
from edge.flash import settings
from edge.hub.files import Hub, Register

PASSWORD, AUTHORITY, BRIDGE, ABOUT = "mqtt-password", "mqtt-ca.pem", "fmd-bridge.conf", ".enrolled"
"""Names of the files in a folder; the last one marks a folder that fmd enrol wrote."""
METRICS_PORT = 9817


def for_door(
    hub: Hub, register: Register, name: str, password: str, base: Path | None, scraped: bool
) -> dict[str, bytes]:
    """Return the files that become /etc/fmd of a door, by name: ``base`` and what it names, with the broker's settings.

    Raises SettingsError, BundleError or CardError if ``base`` cannot be used, or states other values.
    """
    options: dict[str, Any] = {
        "publish.name": name,
        "mqtt.host": register.names[0],
        "mqtt.port": register.port,
        "mqtt.username": name,
        "mqtt.password_file": PASSWORD,
        "mqtt.tls": True,
        "mqtt.ca_file": AUTHORITY,
        # The hub's rights cover the door's own topics alone.
        "mqtt.discovery": False,
    }
    if scraped:
        options |= {"metrics.port": METRICS_PORT, "metrics.address": "0.0.0.0"}
    etc = settings.gathered(base, {}, options, for_reader(hub, password))
    return {**etc.files, **etc.secrets}


def for_site(hub: Hub, register: Register, name: str, password: str) -> dict[str, bytes]:
    """Return the files for a site's broker, by name: the configuration of its bridge and the hub's authority."""
    text = paths.broker_template("bridge.conf").read_text(encoding="utf-8")
    values = {"SITE": name, "HOST": register.names[0], "PORT": str(register.port), "PASSWORD": password}
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return {BRIDGE: text.encode(), "hub-ca.pem": hub.read(hub.authority)}


def for_reader(hub: Hub, password: str) -> dict[str, bytes]:
    """Return the files of a program that connects by itself, by name."""
    return {PASSWORD: f"{password}\n".encode(), AUTHORITY: hub.read(hub.authority)}


def check(folder: Path) -> None:
    """Raise HubError unless ``folder`` is new, empty, or of an earlier enrolment: nothing else is overwritten."""
    if folder.is_dir() and ((folder / ABOUT).exists() or not any(folder.iterdir())):
        return
    if folder.exists() or folder.is_symlink():
        raise HubError(f"{folder}: exists and is no folder of fmd enrol; name another one with --out")
    if not folder.parent.is_dir():
        raise HubError(f"{folder}: no folder {folder.parent}")


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Write ``files`` for the owner alone; those of an earlier enrolment are replaced. Raises OSError."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    for name, data in {ABOUT: b"", **files}.items():
        write_atomically(folder / name, data, 0o600)

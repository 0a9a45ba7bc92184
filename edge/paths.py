"""Where fmd's files are: on the board, in the package, and in a checkout. No other module knows these paths."""

from __future__ import annotations

import os
from pathlib import Path

SETTINGS = Path("/etc/fmd/fmd.toml")
"""The service's settings, for commands that run outside the service."""
PAGE_SETTINGS = Path("/etc/fmd/page.toml")
"""Settings of the web page's own process; group fmd-page reads them."""
PAGE_PASSWORDS = "page.passwords"
"""Name of the file beside those settings with the hash of each role's password."""
PAGE_CERTIFICATE, PAGE_KEY = "page-certificate.pem", "page-key.pem"
"""Names of the files beside those settings that ``fmd page certificate`` writes."""
STATE = Path("/var/lib/fmd")
"""The service's state directory, for commands that run outside the service."""
RUNTIME = Path("/run/fmd")
"""The service's runtime directory, for commands that run outside the service."""
PROOFS = Path("/var/cache/fmd")
"""Root's record of proven model files, which every user reads and only root changes."""

SHIPPED_MODELS = {"detector": "face_detector.tflite", "classifier": "mask_classifier.tflite"}
"""Task -> file name of the model that fmd ships."""
TASKS = tuple(SHIPPED_MODELS)
"""What a model file is for."""
ENGINES = "engines"
"""Name of the folder for compiled models."""
SHIPPED_SOUND = Path(__file__).with_name("sounds") / "please_wear_a_face_mask.wav"
"""What the voice says where the settings name no sound."""

HUB = Path("/etc/mosquitto/fmd")
"""On a hub: certificates, users and rights of its broker."""
HUB_BROKER = Path("/etc/mosquitto/conf.d/fmd.conf")
"""On a hub: fmd's part of mosquitto's configuration."""
HUB_TARGETS = Path("/etc/prometheus/fmd/doors")
"""On a hub: the folder in which Prometheus finds the doors that it reads, one file for each."""
HUB_PID = Path("/run/mosquitto/mosquitto.pid")
"""On a hub: the file with the number of mosquitto's process."""

FILE_SETTINGS = {
    "camera": ("source_file", "ca_file"),
    "model": ("detector", "classifier"),
    "voice": ("file",),
    "display": ("font",),
    "mqtt": ("password_file", "ca_file"),
    "notify": ("urls_file",),
}
"""Section -> its settings that name a file, relative to the settings file that names it; empty for none."""


def runtime_folder() -> Path | None:
    """Return the runtime directory that systemd gives this unit ($RUNTIME_DIRECTORY), or None outside systemd.

    It is in memory, survives a restart of the unit, and is gone when the unit stops.
    """
    return _first_of("RUNTIME_DIRECTORY")


def state_folder() -> Path | None:
    """Return the directory that systemd lets this unit keep for good ($STATE_DIRECTORY), or None outside systemd."""
    return _first_of("STATE_DIRECTORY")


def proofs_folders() -> list[Path]:
    """Return where model files are recorded as proven: first the folder that this user writes, then root's."""
    own = state_folder()
    if own is None and (cache := os.environ.get("XDG_CACHE_HOME")):
        own = Path(cache) / "fmd"
    if own is None and not is_root():
        own = Path("~/.cache/fmd").expanduser()
    return [folder for folder in (own, PROOFS) if folder is not None]


def model_folder(state: Path | None = None) -> Path:
    """Return the model store of a state directory (default: this unit's, else the service's): the folder beside it."""
    return _beside(state or state_folder() or STATE, "-models")


def restore_journal(state: Path) -> Path:
    """Return the file that lists what ``fmd restore`` exchanges: beside the state directory, where only root writes."""
    return _beside(state, "-restore.json")


def _beside(folder: Path, ending: str) -> Path:
    if folder.name in ("", ".."):  # such as "."
        folder = Path(os.path.abspath(folder))  # noqa: PTH100 (resolve() would follow links)
    return folder.with_name(folder.name + ending)


def is_root() -> bool:
    """Return whether this process runs as root; Windows has none."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def engine_folder(state: Path | None = None) -> Path | None:
    """Return the folder for models that a GPU's library has compiled for this machine, or None if there is none.

    It is in the state directory of the service for the service's user, else in the user's cache. A compiled model is a
    program: so nobody uses a folder of another user, and root has none.
    """
    folder = state or state_folder() or STATE
    user = os.geteuid() if hasattr(os, "geteuid") else -1
    try:
        if user and folder.stat().st_uid == user:
            return folder / ENGINES
    except OSError:  # no such folder: fmd is not installed here
        pass
    if user == 0:
        return None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fmd" / ENGINES


def use(runtime: Path | None = None, state: Path | None = None) -> None:
    """Make these the runtime and the state directory of this process, as systemd does; None changes nothing."""
    for variable, folder in (("RUNTIME_DIRECTORY", runtime), ("STATE_DIRECTORY", state)):
        if folder is not None:
            os.environ[variable] = str(folder)


def shipped_model(task: str) -> Path:
    """Return the path of the model that fmd ships for ``task`` ("detector" or "classifier"); it may not exist.

    An installed fmd has its models inside the package (``edge/shipped``), a checkout has them beside it (``models``).
    """
    return _data("shipped", "models") / SHIPPED_MODELS[task]


def broker_template(name: str) -> Path:
    """Return the path of a configuration of mosquitto that fmd ships: hub.conf, acl or bridge.conf."""
    return _data("broker", "fleet/mosquitto") / name


def _data(installed: str, checkout: str) -> Path:
    """Return the folder of data inside the installed package, or the one beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / installed
    return inside if inside.is_dir() else package.parent / checkout


def _first_of(variable: str) -> Path | None:
    """Systemd separates several directories by colons; fmd's unit names one of each kind."""
    named = os.environ.get(variable, "").partition(":")[0]
    return Path(named) if named else None

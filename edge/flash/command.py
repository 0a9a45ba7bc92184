"""What ``fmd flash`` does: options to content to target, a dry run unless told to write."""

from __future__ import annotations

import argparse
import getpass
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.errors import EXIT_OK, CardError, SettingsError
from edge.flash import content, package
from edge.flash.card import recognise
from edge.flash.content import Change, Login, Wanted, Wifi
from edge.flash.target import Target, open_target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = "fmd"
HOSTNAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
USER = r"[a-z_][a-z0-9_-]{0,31}"
COUNTRY = r"[A-Z]{2}"
TIMEZONE = r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*"
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._+~-]*"
MODELS = ("detector", "classifier")


def run(arguments: argparse.Namespace) -> int:
    """Tell what is to be written where and, with ``--write``, write and read it back."""
    target = open_target(arguments.target)
    card = recognise(target)
    wanted = _wanted(arguments)
    todo = content.changes(target, card, wanted)
    print(f"{target}: {card}, {target.free() / 1e6:.0f} MB free")
    for change in todo:
        verb = "replace" if target.read(change.path) is not None else "write"
        print(f"  {verb:<8}{change.path:<34}{len(change.data) / 1e3:>10.1f} kB   {change.why}")
    _check_room(target, todo)
    if wanted.login is None:
        print("  nobody will be able to log in: no --user")
    if not arguments.write:
        print("a dry run: nothing was written; add --write to do it")
        return EXIT_OK
    write(target, todo)
    print("written and read back. Put the card into the board; docs/first-boot.md tells what its LED says")
    return EXIT_OK


def write(target: Target, todo: Sequence[Change]) -> None:
    """Write all in order; raises :class:`edge.errors.CardError` where it does not read back as written."""
    for change in todo:
        target.write(change.path, change.data)
        if target.read(change.path) != change.data:
            raise CardError(f"{target}: {change.path} does not read back as written; the card may be worn out or full")


def _check_room(target: Target, todo: Sequence[Change]) -> None:
    # As if nothing were replaced: a folder's files are written beside the old before they take their place.
    needed = sum(len(change.data) + 65536 for change in todo)
    if needed > target.free():
        raise CardError(
            f"{target}: {target.free() / 1e6:.0f} MB free, {needed / 1e6:.0f} MB needed; nothing was written. "
            f"Remove an earlier {content.FOLDER}/*.deb"
        )


def _wanted(arguments: argparse.Namespace) -> Wanted:
    _check("--hostname", arguments.hostname, HOSTNAME, "small letters, digits and hyphens, as in door-1")
    _check("--timezone", arguments.timezone, TIMEZONE, "as in Europe/Berlin")
    return Wanted(
        packages=_packages(arguments.package),
        etc=_etc(arguments),
        hostname=arguments.hostname,
        timezone=arguments.timezone,
        wifi=_wifi(arguments),
        login=_login(arguments),
    )


def _check(option: str, value: str, pattern: str, wanted: str) -> None:
    if value and not re.fullmatch(pattern, value):
        raise SettingsError(f"command line: {option}: got {value!r}, expected {wanted}")


def _packages(paths: Sequence[Path]) -> dict[str, bytes]:
    """File names and contents; the first is fmd's own."""
    packages = {}
    for index, path in enumerate(paths):
        data = _read(path)
        what = package.check(path, data, PACKAGE if index == 0 else None)
        print(f"{path}: {what}")
        packages[_file_name(path)] = data
    return packages


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CardError(f"{path}: {error.strerror}") from error


def _file_name(path: Path) -> str:
    if not re.fullmatch(FILE_NAME, path.name):
        raise CardError(f"{path}: a name that a FAT partition or a shell may trip over; rename it")
    return path.name


def _etc(arguments: argparse.Namespace) -> dict[str, bytes]:
    """Settings and models for /etc/fmd, checked here, where somebody reads what is wrong with them."""
    config_path: Path | None = arguments.config
    settings = ""
    if config_path is not None:
        _check_settings(config_path)
        settings = _read(config_path).decode("utf-8-sig")
    models: dict[str, bytes] = {}
    for task in MODELS:
        path, settings = _model(task, getattr(arguments, task), config_path, settings)
        if path is not None:
            _check_model(path, task)
            models[_file_name(path)] = _read(path)
    return {**({"fmd.toml": settings.encode()} if settings else {}), **models}


def _model(task: str, chosen: Path | None, config_path: Path | None, settings: str) -> tuple[Path | None, str]:
    """Where the model for ``task`` lies here, and the settings with it named; None for the one fmd ships."""
    named = tomllib.loads(settings).get("model", {}).get(task, "")
    if chosen is not None and not named:
        return chosen, with_model(settings, task, _file_name(chosen))
    wanted = chosen.name if chosen is not None else Path(named).name
    if named != wanted:
        raise SettingsError(f"{config_path}: model.{task}: got {named!r}, expected {wanted!r}: it will lie in /etc/fmd")
    if named and config_path is not None:
        return chosen or config_path.parent / named, settings
    return None, settings


def _check_settings(path: Path) -> None:
    # Only here: these bring libraries that a dry run of a bare card can do without.
    from edge import config

    config.load(path)


def _check_model(path: Path, task: str) -> None:
    if path.suffix == ".onnx":  # carries no contract
        return
    from edge import bundle

    found = bundle.unpack(path).contract.task
    if found != task:
        raise SettingsError(f"{path}: a {found}, expected a {task}")


def with_model(settings: str, task: str, name: str) -> str:
    """``settings`` (TOML) with one model named; comments and order stay."""
    line = f'{task} = "{name}"\n'
    head = re.search(r"^\s*\[model\][^\n]*\n?", settings, re.MULTILINE)
    if head is None:
        return f"{settings.rstrip()}\n\n[model]\n{line}".lstrip()
    return settings[: head.end()].rstrip("\n") + "\n" + line + settings[head.end() :]


def _wifi(arguments: argparse.Namespace) -> Wifi | None:
    if not arguments.wifi:
        return None
    ssid: str = arguments.wifi
    if not 1 <= len(ssid.encode()) <= 32 or not ssid.isprintable():
        raise SettingsError(f"command line: --wifi: got {ssid!r}, expected a name of 1 to 32 bytes")
    if not arguments.wifi_country:
        raise SettingsError("command line: --wifi-country: missing; the radio stays off without it, as in DE")
    _check("--wifi-country", arguments.wifi_country, COUNTRY, "two capital letters, as in DE")
    password = _secret(f"password of Wi-Fi {ssid}: ", arguments.wifi_password_file, getpass.getpass)
    psk = content.wpa_psk(ssid, password) if password else ""
    return Wifi(ssid, psk, arguments.wifi_country, arguments.wifi_hidden)


def _secret(prompt: str, path: Path | None, ask: Callable[[str], str]) -> str:
    """From a file or the keyboard, never from the command line, which everybody on the machine can read."""
    if path is not None:
        return _read(path).decode(errors="replace").rstrip("\r\n")
    try:
        return ask(prompt)
    except EOFError as error:
        raise SettingsError("command line: no terminal to ask for a password; give it in a file") from error


def _login(arguments: argparse.Namespace) -> Login | None:
    if not arguments.user:
        if arguments.ssh_key:
            raise SettingsError("command line: --ssh-key: whose? give --user too")
        return None
    _check("--user", arguments.user, USER, "small letters, digits, _ and -")
    if arguments.ssh_key:
        return Login(arguments.user, keys=_keys(arguments.ssh_key))
    return Login(arguments.user, crypted(_secret(f"password for {arguments.user}: ", None, getpass.getpass)))


def _keys(path: Path) -> tuple[str, ...]:
    text = _read(path).decode(errors="replace")
    keys = tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
    if not keys or not all(re.match(r"(ssh-|ecdsa-|sk-)[\w@.-]+ [A-Za-z0-9+/=]+( |$)", key) for key in keys):
        raise SettingsError(f"{path}: not a public SSH key (a line such as ssh-ed25519 AAAA... you@laptop)")
    return keys


def crypted(password: str) -> str:
    """The SHA-512 hash of crypt(5); Python's own went with 3.13."""
    if not password:
        raise SettingsError("command line: --user: an empty password, expected one, or --ssh-key")
    try:
        done = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise SettingsError(f"command line: --user: cannot hash a password: {error}; give --ssh-key") from error
    return done.stdout.strip()

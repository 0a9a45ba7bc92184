"""``fmd flash``: prepare a card with Raspberry Pi OS to install fmd; a dry run without ``--write``."""

from __future__ import annotations

import argparse
import getpass
import re
import subprocess
import zoneinfo
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.commands.parsing import did_you_mean
from edge.errors import EXIT_OK, CardError, SettingsError
from edge.flash import content, package, settings
from edge.flash.card import recognise
from edge.flash.content import FileChange, Login, Wanted, Wifi
from edge.flash.settings import file_name, read
from edge.flash.target import Target, open_target
from edge.paths import TASKS

PACKAGE = "fmd"
HOSTNAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
USER = r"[a-z_][a-z0-9_-]{0,31}"
SYSTEM_USERS = (
    *("root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data"),
    *("backup", "list", "irc", "nobody", "sshd", "messagebus", "fmd"),
)
"""Users that a board has already: none may become the one who logs in."""
PUBLIC_KEY = r"(ssh-|ecdsa-|sk-)[\w@.-]+ [A-Za-z0-9+/=]+( |$)"
COUNTRY = r"[A-Z]{2}"
TIMEZONE = r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*"


EXAMPLES = """\
examples:
  fmd flash /media/me/bootfs --package fmd.deb --user me --write
  fmd flash raspios.img --package fmd.deb --wifi Shop --wifi-country DE --write
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd flash``."""
    add = parser.add_argument
    add("target", type=Path, help="the boot partition of a card, as a folder, or an image file of Raspberry Pi OS")
    add(
        "--package",
        type=Path,
        action="append",
        required=True,
        metavar="DEB",
        help="fmd's .deb; repeat for packages that it needs",
    )
    add("--config", type=Path, metavar="FILE", help="settings file for the board; models that it names are copied too")
    for task in TASKS:
        add(f"--{task}", type=Path, metavar="MODEL", help=f"a {task} made by fmd-convert; the settings name it")
    add("--hostname", default="", metavar="NAME", help="name of the board on the network")
    add("--timezone", default="", metavar="ZONE", help="as in Europe/Berlin")
    add("--wifi", default="", metavar="SSID", help="Wi-Fi to join; fmd asks for the password")
    add("--wifi-password-file", type=Path, metavar="FILE", help="file with the password; empty for an open network")
    add("--wifi-country", default="", metavar="CC", help="country of the board, as in DE; needed with --wifi")
    add("--wifi-hidden", action="store_true", help="the network does not broadcast its name")
    add("--user", default="", metavar="NAME", help="user who may log in; without one, no login is possible")
    add("--ssh-key", type=Path, metavar="PUB", help="public key of the user; without one, fmd asks for a password")
    add("--write", action="store_true", help="write; without it, only print what would be written")


def run(arguments: argparse.Namespace) -> int:
    """Print which files go where; with ``--write``, write them and read them back."""
    target = open_target(arguments.target)
    card = recognise(target)
    wanted = _wanted(arguments)
    todo = content.changes(target, card, wanted)
    print(f"{target}: {card}, {target.free() / 1e6:.0f} MB free")
    for change in todo:
        # Read from the card, so that a dry run shows what would be lost.
        verb = "replace" if target.read(change.path) is not None else "write"
        print(f"  {verb:<8}{change.path:<34}{len(change.data) / 1e3:>10.1f} kB   {change.why}")
    _check_room(target, todo)
    if wanted.login is None:
        print("  without --user, no login is possible")
    if not arguments.write:
        print("dry run: nothing was written; add --write to write it")
        return EXIT_OK
    write(target, todo)
    print("written and read back. Put the card into the board; docs/first-boot.md explains the signals of its LED")
    return EXIT_OK


def write(target: Target, todo: Sequence[FileChange]) -> None:
    """Write all files in order. Raises :class:`edge.errors.CardError` if one does not read back as written."""
    for change in todo:
        target.write(change.path, change.data)
        # A worn-out card reports success and returns other bytes.
        if target.read(change.path) != change.data:
            raise CardError(f"{target}: {change.path} does not read back as written; the card may be worn out or full")


def _check_room(target: Target, todo: Sequence[FileChange]) -> None:
    # Count as if no file were replaced: in a folder, the new file is written beside the old one first.
    needed = sum(len(change.data) + 65536 for change in todo)
    if needed > target.free():
        raise CardError(
            f"{target}: {target.free() / 1e6:.0f} MB free, {needed / 1e6:.0f} MB needed; nothing was written. "
            f"Remove an earlier {content.FOLDER}/*.deb"
        )


def _wanted(arguments: argparse.Namespace) -> Wanted:
    _check("--hostname", arguments.hostname, HOSTNAME, "small letters, digits and hyphens, as in door-1")
    _check("--timezone", arguments.timezone, TIMEZONE, "as in Europe/Berlin")
    known = zoneinfo.available_timezones()  # none on a laptop without the list
    if arguments.timezone and known and arguments.timezone not in known:
        near = did_you_mean(arguments.timezone, known)
        raise SettingsError(f"command line: --timezone: got {arguments.timezone!r}, which is no time zone{near}")
    models = {task: getattr(arguments, task) for task in TASKS}
    return Wanted(
        packages=_packages(arguments.package),
        etc=settings.gathered(arguments.config, models),
        hostname=arguments.hostname,
        timezone=arguments.timezone,
        wifi=_wifi(arguments),
        login=_login(arguments),
    )


def _check(option: str, value: str, pattern: str, wanted: str) -> None:
    if value and not re.fullmatch(pattern, value):
        raise SettingsError(f"command line: {option}: got {value!r}, expected {wanted}")


def _packages(paths: Sequence[Path]) -> dict[str, bytes]:
    """Return file names and contents of the packages; the first must be fmd's own."""
    packages = {}
    for index, path in enumerate(paths):
        data = read(path)
        what = package.check(path, data, PACKAGE if index == 0 else None)
        print(f"{path}: {what}")
        packages[file_name(path)] = data
    return packages


def _wifi(arguments: argparse.Namespace) -> Wifi | None:
    if not arguments.wifi:
        return None
    ssid: str = arguments.wifi
    if not 1 <= len(ssid.encode()) <= 32 or not ssid.isprintable():
        raise SettingsError(f"command line: --wifi: got {ssid!r}, expected a name of 1 to 32 bytes")
    if not arguments.wifi_country:
        raise SettingsError(
            "command line: --wifi-country: missing, and the radio stays off without it; give the country, as in DE"
        )
    _check("--wifi-country", arguments.wifi_country, COUNTRY, "two capital letters, as in DE")
    password = _secret(f"password of Wi-Fi {ssid}: ", arguments.wifi_password_file, getpass.getpass)
    psk = content.wpa_psk(ssid, password) if password else ""
    return Wifi(ssid, psk, arguments.wifi_country, arguments.wifi_hidden)


def _secret(prompt: str, path: Path | None, ask: Callable[[str], str]) -> str:
    """Return a secret from a file or the keyboard; every user of the machine could read one on the command line."""
    if path is not None:
        return read(path).decode("utf-8-sig", errors="replace").rstrip("\r\n")
    try:
        return ask(prompt)
    except EOFError as error:
        raise SettingsError("command line: no terminal to ask for a password; give it in a file") from error


def _login(arguments: argparse.Namespace) -> Login | None:
    if not arguments.user:
        if arguments.ssh_key:
            raise SettingsError("command line: --ssh-key: the user is missing; give --user too")
        return None
    _check("--user", arguments.user, USER, "small letters, digits, _ and -")
    if arguments.user in SYSTEM_USERS:
        raise SettingsError(
            f"command line: --user: got {arguments.user!r}, a user of the system; expected another name"
        )
    if arguments.ssh_key:
        return Login(arguments.user, keys=_keys(arguments.ssh_key))
    return Login(arguments.user, crypted(_secret(f"password for {arguments.user}: ", None, getpass.getpass)))


def _keys(path: Path) -> tuple[str, ...]:
    text = read(path).decode("utf-8-sig", errors="replace")
    keys = tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
    if not keys or not all(re.match(PUBLIC_KEY, key) and key.isprintable() for key in keys):
        raise SettingsError(f"{path}: not a public SSH key (a line such as ssh-ed25519 AAAA... you@laptop)")
    return keys


def crypted(password: str) -> str:
    """Return the SHA-512 hash of crypt(5), made by openssl because Python 3.13 removed its own crypt module."""
    if not password:
        raise SettingsError("command line: --user: an empty password, expected one, or --ssh-key")
    try:
        done = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise SettingsError(f"command line: --user: cannot hash a password: {error}; give --ssh-key") from error
    return done.stdout.strip()

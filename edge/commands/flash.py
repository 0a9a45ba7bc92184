"""``fmd flash``: prepare a card with Raspberry Pi OS to install fmd; a dry run without ``--write``.

Without options, in a terminal, it asks for them (:mod:`edge.commands.flash_questions`). It runs on Windows, macOS and
Linux with the standard library alone (on Python 3.10 also tomli), and starts no program.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.commands import flash_questions
from edge.errors import EXIT_OK, CardError, SettingsError
from edge.flash import checks, content, crypt, download, package, settings, volumes
from edge.flash.card import Card, recognise
from edge.flash.content import FileChange, Login, Wanted, Wifi
from edge.flash.settings import file_name, read
from edge.flash.target import Target, open_target
from edge.page import password
from edge.paths import TASKS

PACKAGE = "fmd"
SHOWN_BYTES = 1_000_000
"""Files of at least this size are named while they are written, which takes seconds."""
MQTT_PASSWORD = "mqtt.password"
"""Name of the broker's password file on the board."""

DONE = """\
written and read back. Eject the card and put it into the board. Its green LED then shows the progress:
  two blinks and a pause    fmd is being installed, which takes minutes
  fast and even             that failed and is tried again; fmd/first-boot.log on the card says why"""

EXAMPLES = """\
examples:
  fmd flash                             ask for everything, then write
  fmd flash --package fmd.deb --door door-1 --user me --write
  fmd flash raspios.img --package fmd.deb --wifi Shop --wifi-country DE --write
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd flash``."""
    add = parser.add_argument
    add(
        "target",
        type=Path,
        nargs="?",
        help="the boot partition of a card, as a folder or drive, or an image file of Raspberry Pi OS "
        "(default: the card that is mounted)",
    )
    add(
        "--package",
        action="append",
        default=[],
        metavar="DEB",
        help="fmd's .deb, as a file or as the https address of a release; repeat for packages that it needs",
    )
    add("--config", type=Path, metavar="FILE", help="settings file for the board; models that it names are copied too")
    for task in TASKS:
        add(f"--{task}", type=Path, metavar="MODEL", help=f"a {task} made by fmd-convert; the settings name it")
    add("--door", default="", metavar="NAME", help="name of the door, on the network and in messages")
    add("--hostname", default="", metavar="NAME", help="name of the board on the network, if it is not the door's")
    add("--timezone", default="", metavar="ZONE", help="as in Europe/Berlin")
    add("--wifi", default="", metavar="SSID", help="Wi-Fi to join; fmd asks for the password")
    add("--wifi-password-file", type=Path, metavar="FILE", help="file with the password; empty for an open network")
    add("--wifi-country", default="", metavar="CC", help="country of the board, as in DE; needed with --wifi")
    add("--wifi-hidden", action="store_true", help="the network does not broadcast its name")
    add("--user", default="", metavar="NAME", help="user who may log in; without one, no login is possible")
    add("--ssh-key", type=Path, metavar="PUB", help="public key of the user; without one, fmd asks for a password")
    add("--user-password-file", type=Path, metavar="FILE", help="file with the password of the user")
    add("--page", action="store_true", help="serve the web page; fmd asks for its password")
    add("--page-password-file", type=Path, metavar="FILE", help="file with the password of the web page")
    add("--mqtt", default="", metavar="HOST", help="MQTT broker that receives messages, as in broker.local:1883")
    add("--mqtt-user", default="", metavar="NAME", help="user at the broker; fmd asks for the password")
    add("--mqtt-password-file", type=Path, metavar="FILE", help="file with the password of that user")
    add("--write", action="store_true", help="write; without it, only print what would be written")


def run(arguments: argparse.Namespace) -> int:
    """Print which files go where; with ``--write``, write them and read them back."""
    if not _is_given(arguments):
        arguments = flash_questions.answered(arguments)
    target = open_target(arguments.target or _only_card())
    card = recognise(target)
    wanted = _wanted(arguments)
    todo = content.changes(target, card, wanted)
    _print_plan(target, card, wanted, todo)
    _check_room(target, todo)
    confirm = getattr(arguments, "confirm", None)
    if not (arguments.write if confirm is None else confirm()):
        print("nothing was written" if confirm else "dry run: nothing was written; add --write to write it")
        return EXIT_OK
    write(target, todo)
    print(DONE)
    return EXIT_OK


def _is_given(arguments: argparse.Namespace) -> bool:
    """Return whether the command line has any option of this command."""
    return any(value for name, value in vars(arguments).items() if name not in ("command", "verbose"))


def _only_card() -> Path:
    """Return the folder of the card that is mounted. Raises CardError unless there is exactly one."""
    found = volumes.cards()
    usable = [volume for volume in found if volume.card]
    if len(usable) == 1:
        print(f"found {usable[0]}")
        return usable[0].root
    if usable:
        named = ", ".join(str(volume.root) for volume in usable)
        raise CardError(f"{len(usable)} cards of Raspberry Pi OS are mounted: {named}; name one of them")
    seen = "".join(f"; found {volume}" for volume in found)
    raise CardError(f"no card of Raspberry Pi OS is mounted{seen}; insert it again, or name its folder or drive")


def _print_plan(target: Target, card: Card, wanted: Wanted, todo: Sequence[FileChange]) -> None:
    print(f"{target}: {card}, {target.free() / 1e6:.0f} MB free")
    for change in todo:
        # Read from the card, so that a dry run shows what would be lost.
        verb = "replace" if target.read(change.path) is not None else "write"
        print(f"  {verb:<8}{change.path:<34}{len(change.data) / 1e3:>10.1f} kB   {change.why}")
    if wanted.login is None:
        print("  without --user, no login is possible")
    if wanted.etc.unchecked:
        print("  this machine lacks fmd's libraries, so the board checks the settings and models at its first boot")


def write(target: Target, todo: Sequence[FileChange]) -> None:
    """Write all files in order. Raises :class:`edge.errors.CardError` if one does not read back as written."""
    try:
        for change in todo:
            if len(change.data) >= SHOWN_BYTES:
                print(f"writing {change.path} ({len(change.data) / 1e6:.0f} MB)", flush=True)
            target.write(change.path, change.data)
            # A worn-out card reports success and returns other bytes.
            if target.read(change.path) != change.data:
                raise CardError(
                    f"{target}: {change.path} does not read back as written; the card may be worn out or full"
                )
    except KeyboardInterrupt:
        print("stopped while writing: the card is not prepared. Run the command again", file=sys.stderr)
        raise


def _check_room(target: Target, todo: Sequence[FileChange]) -> None:
    # Count as if no file were replaced: in a folder, the new file is written beside the old one first.
    needed = sum(len(change.data) + 65536 for change in todo)
    if needed > target.free():
        raise CardError(
            f"{target}: {target.free() / 1e6:.0f} MB free, {needed / 1e6:.0f} MB needed; nothing was written. "
            f"Remove an earlier {content.FOLDER}/*.deb"
        )


def _wanted(arguments: argparse.Namespace) -> Wanted:
    for name in checks.RULES:
        if value := getattr(arguments, name.replace("-", "_")):
            _check(name, value)
    packages = _packages(arguments.package)
    options, secrets = _settings_of(arguments)
    models = {task: getattr(arguments, task) for task in TASKS}
    return Wanted(
        packages=packages,
        etc=settings.gathered(arguments.config, models, options, secrets),
        hostname=arguments.hostname or checks.host_name(arguments.door),
        timezone=arguments.timezone,
        wifi=_wifi(arguments),
        login=_login(arguments),
        page=_page(arguments),
    )


def _check(name: str, value: str) -> None:
    try:
        checks.check(name, value)
    except SettingsError as error:
        raise SettingsError(f"command line: --{name}: {error}") from error


def _packages(places: Sequence[str]) -> dict[str, bytes]:
    """Return file names and contents of the packages; the first must be fmd's own."""
    if not places:
        raise SettingsError("command line: --package: missing; give fmd's .deb, or the https address of a release")
    packages = {}
    for index, place in enumerate(places):
        path, data = _package(place)
        what = package.check(path, data, PACKAGE if index == 0 else None)
        print(f"{path}: {what}")
        packages[file_name(path)] = data
    return packages


def _package(place: str) -> tuple[Path, bytes]:
    if not download.is_address(place):
        return Path(place), read(Path(place))
    name, data = download.fetched(place, Progress(place))
    return Path(name), data


class Progress:
    """Prints how much of a download has come: in a terminal in one line, else every tenth."""

    def __init__(self, name: str) -> None:
        self._name, self._shown = name, -1
        self._in_place = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Print the progress; ``total`` is 0 if the server does not state it."""
        share = 100 * done // total if total else done >> 20
        if share // (1 if self._in_place else 10) == self._shown // (1 if self._in_place else 10):
            return
        self._shown = share
        text = f"{self._name}: {done / 1e6:.0f} MB" + (f" of {total / 1e6:.0f} MB" if total else "")
        end = "\n" if not self._in_place or done == total else ""
        print(f"\r{text}" if self._in_place else text, end=end, file=sys.stderr, flush=True)


def _settings_of(arguments: argparse.Namespace) -> tuple[dict[str, str | int], dict[str, bytes]]:
    """Return the settings that the options stand for, and the files that these settings name."""
    options: dict[str, str | int] = {"publish.name": arguments.door} if arguments.door else {}
    if not arguments.mqtt:
        if arguments.mqtt_user or arguments.mqtt_password_file:
            raise SettingsError("command line: --mqtt-user: the broker is missing; give --mqtt too")
        return options, {}
    options["mqtt.host"], port = checks.broker(arguments.mqtt)
    if port != checks.broker("")[1]:
        options["mqtt.port"] = port
    if not arguments.mqtt_user:
        return options, {}
    prompt = f"password of {arguments.mqtt_user} at the broker: "
    typed = _secret(prompt, "mqtt", arguments.mqtt_password_file, arguments)
    options |= {"mqtt.username": arguments.mqtt_user, "mqtt.password_file": MQTT_PASSWORD}
    return options, {MQTT_PASSWORD: f"{typed}\n".encode()}


def _wifi(arguments: argparse.Namespace) -> Wifi | None:
    if not arguments.wifi:
        return None
    if not arguments.wifi_country:
        raise SettingsError(
            "command line: --wifi-country: missing, and the radio stays off without it; give the country, as in DE"
        )
    ssid: str = arguments.wifi
    typed = _secret(f"password of Wi-Fi {ssid}: ", "wifi", arguments.wifi_password_file, arguments)
    psk = content.wpa_psk(ssid, typed) if typed else ""
    return Wifi(ssid, psk, arguments.wifi_country, arguments.wifi_hidden)


def _page(arguments: argparse.Namespace) -> str:
    """Return the content of the web page's password file, empty without the page."""
    if not arguments.page:
        if arguments.page_password_file:
            raise SettingsError("command line: --page-password-file: the page is missing; give --page too")
        return ""
    typed = _secret("password of the web page: ", "page", arguments.page_password_file, arguments)
    if problem := password.problem(typed):
        raise SettingsError(f"command line: --page: the password: {problem}")
    return password.written({password.ROLES[0]: password.hashed(typed)})


def _secret(prompt: str, name: str, path: Path | None, arguments: argparse.Namespace) -> str:
    """Return a secret from a file, the answers or the keyboard; every user could read one on the command line."""
    if path is not None:
        return read(path).decode("utf-8-sig", errors="replace").rstrip("\r\n")
    answers = getattr(arguments, "secrets", {})
    if name in answers:
        return str(answers[name])
    return flash_questions.asked_twice(prompt, flash_questions.hidden)


def _login(arguments: argparse.Namespace) -> Login | None:
    if not arguments.user:
        if arguments.ssh_key or arguments.user_password_file:
            raise SettingsError("command line: --ssh-key: the user is missing; give --user too")
        return None
    if arguments.ssh_key:
        return Login(arguments.user, keys=checks.public_keys(arguments.ssh_key))
    typed = _secret(f"password for {arguments.user}: ", "user", arguments.user_password_file, arguments)
    try:
        return Login(arguments.user, crypt.hashed(typed))
    except SettingsError as error:
        raise SettingsError(f"command line: --user: {error}; or give --ssh-key") from error

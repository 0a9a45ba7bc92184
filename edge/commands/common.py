"""Options and checks that several commands share."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import EXIT_INTERRUPTED, EXIT_OK, OutputError, SettingsError

if TYPE_CHECKING:
    from edge.config import Layers, Settings


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """Declare ``--config`` and ``--set``, which :func:`load_settings` reads."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings file (TOML); the defaults hold for what it leaves out"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting, as in --set alert.led_pin=22",
    )


def add_state_option(parser: argparse.ArgumentParser) -> None:
    """Declare ``--state``."""
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="the service's state directory (default: $STATE_DIRECTORY, /var/lib/fmd)",
    )


def existing_state(folder: Path) -> Path:
    """Return a state directory. Raises SettingsError if there is none: a typing error must not look like an answer."""
    if not folder.is_dir():
        raise SettingsError(f"{folder}: no such folder; {_where(folder)}")
    return folder


def _where(folder: Path) -> str:
    from edge import paths

    if folder != paths.STATE:
        return "name the state directory of the service with --state"
    return (
        "this machine has no fmd service: run the command on the board, or name the folder of fmd run --state FOLDER "
        "with --state FOLDER"
    )


def add_runtime_option(parser: argparse.ArgumentParser) -> None:
    """Declare ``--runtime``."""
    parser.add_argument(
        "--runtime",
        type=Path,
        metavar="DIR",
        help="the service's runtime directory (default: $RUNTIME_DIRECTORY, /run/fmd)",
    )


def add_subcommand(what: argparse._SubParsersAction[Any], name: str, sentence: str) -> argparse.ArgumentParser:
    """Return the parser of a new subcommand, whose list, help and manual page say ``sentence``."""
    described = f"{sentence[0].upper()}{sentence[1:]}."
    parser: argparse.ArgumentParser = what.add_parser(name, help=sentence, description=described)
    add_verbose(parser)
    return parser


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Accept ``--verbose`` after a command as well; its own help is that of ``fmd``."""
    # Without a default, which would undo the option before the command.
    parser.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def settings_file(named: Path | None) -> Path | None:
    """Return the settings file that an option names, or else the service's, or None where fmd is not installed."""
    from edge import paths  # not for the help, which is to be quick

    return named or (paths.SETTINGS if paths.SETTINGS.is_file() else None)


def load_settings(arguments: argparse.Namespace, **overrides: Any) -> Settings:
    """Return the settings that ``--config`` and ``--set`` name; ``overrides`` that are not None win over both."""
    from edge import config

    return config.load(arguments.config, _overrides(arguments, overrides))


def read_settings(arguments: argparse.Namespace, over: str | None, **overrides: Any) -> Layers:
    """Return the same settings with their layers; ``over`` is the name of the overlay, None for none."""
    from edge import config

    return config.read(arguments.config, _overrides(arguments, overrides), over)


def _overrides(arguments: argparse.Namespace, more: Mapping[str, Any]) -> dict[str, Any]:
    from edge import config

    # The last one wins: file, then --set, then options such as --source.
    named = dict(config.parse_assignment(text) for text in arguments.set)
    return {**named, **{key: value for key, value in more.items() if value is not None}}


def exit_code(stopped_by: int | None) -> int:
    """Return the exit code of a run that ``stopped_by``, a signal or None, ended.

    SIGTERM is systemd's orderly stop. A shell expects 130 after Ctrl-C, or it continues with its next command.
    """
    return EXIT_INTERRUPTED if stopped_by == signal.SIGINT else EXIT_OK


def files_read(arguments: argparse.Namespace, settings: Settings) -> Iterator[Path]:
    """Yield what a run reads and a typing error could name as its output: settings file, clips and folders."""
    from edge import config, drivers

    if arguments.config:
        yield arguments.config
    for camera in config.cameras(settings.camera).values():
        kind, name = drivers.camera_kind(camera.source)
        if kind in ("file", "folder"):
            yield Path(name)


def check_writable(option: str, path: Path) -> None:
    """Raise OutputError where ``path`` cannot become a file, before the work whose result it is to hold."""
    if path.is_dir() or not path.parent.is_dir():
        why = "a folder, expected a file" if path.is_dir() else f"no folder {path.parent}"
        raise OutputError(f"{option} {path}: {why}")
    # It would be replaced by a file of this name: /dev/null as well, by root.
    if path.exists() and not path.is_file():
        raise OutputError(f"{option} {path}: a device or pipe, expected a file")


def check_replaceable(option: str, path: Path, kind: str, is_own: Callable[[Path], bool]) -> None:
    """Raise OutputError where ``path`` is a file that this command did not write: a typing error must not cost it.

    ``is_own`` finds out by the content; ``kind`` says in words what it accepts. An empty file has nothing to lose.
    Raises OSError if the file cannot be read.
    """
    if path.is_file() and path.stat().st_size and not is_own(path):
        named = f"{option} {path}".lstrip()
        raise OutputError(f"{named}: exists and is not {kind}; choose another name or delete it")


def check_spares(option: str, path: Path, *sources: Path) -> None:
    """Raise SettingsError where ``path``, about to be written, is one of ``sources``: a typing error costs no clip."""
    from edge.contracts import PICTURE_SUFFIXES

    for source in sources:
        # A folder is read picture by picture. samefile also sees through links and "./".
        is_picture = source.is_dir() and path.suffix.lower() in PICTURE_SUFFIXES
        read = source / path.name if is_picture else source
        if path.exists() and read.exists() and path.samefile(read):
            raise SettingsError(f"{option} {path}: the same file as {read}, which it would overwrite; name another")

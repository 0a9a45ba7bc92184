"""Entry point of ``fmd``: the table of commands, and the parser that loads the one that is asked for."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from edge.errors import RuntimeMissingError, exit_code_of


class Command(NamedTuple):
    """A row of the table: ``module`` (in edge.commands) has ``add_options(parser)`` and ``run(arguments)``."""

    name: str
    module: str
    help: str


COMMANDS = (
    Command("run", "run", "watch a door: decide, and drive LED and buzzer (the service runs this)"),
    Command("demo", "demo", "run the whole loop on a built-in scene with simulated outputs"),
    Command("predict", "predict", "write faces and labels of pictures or a clip as CSV"),
    Command("replay", "replay", "compare what fmd decides on a clip of your door with a file"),
    Command("events", "events", "print the service's log of decisions and problems"),
    Command("model", "model", "install a model file, list the installed ones, go back"),
    Command("off", "off", "switch LED and buzzer off"),
    Command("doctor", "doctor", "check this machine and say how to fix what it finds"),
    Command("verify", "verify", "check a model file and replay its golden inputs on this machine"),
    Command("flash", "flash", "put fmd onto an SD card with Raspberry Pi OS (on a laptop)"),
)
"""The commands in the order of the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` (the process's own where it is None) names, and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    level = logging.DEBUG if "--verbose" in words else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    # OpenCV and FFmpeg read these when they load; what matters of their complaints fmd reports in its own words.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # Its read of a USB camera waits ten seconds in the kernel; what gives up sooner can be opened again sooner.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "3")
    # Parsing loads the command's module: Ctrl-C and a damaged library must end in one line there, too.
    return exit_code_of(lambda: _run(words))


def _run(words: Sequence[str]) -> int:
    try:
        arguments = make_parser().parse_args(words)
        command = next(command for command in COMMANDS if command.name == arguments.command)
        code: int = _module(command).run(arguments)
    except RuntimeMissingError:
        raise
    except ImportError as error:
        raise RuntimeMissingError(f"{error}; fmd's own libraries are missing or damaged: install it again") from error
    return code


def _module(command: Command) -> Any:
    return importlib.import_module(f"edge.commands.{command.module}")


def version_line(command: str) -> str:
    """What ``--version`` of each of our commands prints; also where fmd runs from a checkout not installed."""
    try:
        return f"{command} {importlib.metadata.version('fmd-edge')}"
    except importlib.metadata.PackageNotFoundError:
        return f"{command} (not installed: run from a checkout)"


class _LazyParser(argparse.ArgumentParser):
    """A parser that declares a command's options when its command is chosen, so that the others are not imported."""

    def __init__(self, *positional: Any, command: Command | None = None, **named: Any) -> None:
        super().__init__(*positional, **named)
        self._command = command

    def load(self) -> None:
        """Declare the options of the command, once."""
        command, self._command = self._command, None
        if command is not None:
            _module(command).add_options(self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, which calls this of the parser of the command that it finds."""
        self.load()
        return super().parse_known_args(args, namespace)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of ``fmd`` with all commands, none of them imported yet."""
    parser = argparse.ArgumentParser(prog="fmd", description="Detect at a doorway who wears no face mask.")
    parser.add_argument("--verbose", action="store_true", help="log more, such as every change of a pin")
    parser.add_argument("--version", action="version", version=version_line("fmd"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command", parser_class=_LazyParser)
    for command in COMMANDS:
        own = commands.add_parser(command.name, help=command.help, command=command)
        # After the command as well as before it; without a default, lest it undo the one before.
        own.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())

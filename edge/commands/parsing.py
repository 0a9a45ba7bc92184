"""Parser of the commands: it loads the options of the command that was typed, and suggests names for typing errors."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from edge.errors import EXIT_KNOWN, EXIT_USAGE, RuntimeMissingError, naming_stdout
from edge.redaction import redact

SHELLS = ("bash", "zsh")
"""Shells for which ``--print-completion`` prints a script."""


class Parser(argparse.ArgumentParser):
    """An argparse parser that calls ``declare(parser)`` before it is first used, and suggests names in its errors.

    argparse makes the parsers of all subcommands at once. Their options come from ``declare`` only when the subcommand
    was typed, so that no other subcommand's module is imported.
    """

    def __init__(self, *positional: Any, declare: Callable[[Parser], None] | None = None, **named: Any) -> None:
        # Examples keep their lines.
        named.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*positional, **named)
        self._declare = declare

    def load(self) -> None:
        """Declare the options that are still to be declared, here and in every subcommand."""
        self._load_own()
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    parser.load()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does (which calls this for the subcommand that was typed); exit at an unknown option."""
        self._load_own()
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            # From the help, so that hidden options are not suggested.
            options = re.findall(r"--[a-z][a-z-]*", self.format_help())
            if unknown[0].startswith("-"):
                self.error(f"unknown option {unknown[0]}{did_you_mean(unknown[0].partition('=')[0], options)}")
            # Other commands take a clip as an argument.
            hint = "; a camera or a clip needs --source in front" if "--source" in options else ""
            self.error(f"unexpected argument {unknown[0]}{hint}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Print usage and ``message`` and exit with code 2; a choice that does not exist gets a suggestion."""
        # The words are argparse's since Python 3.10; if they ever differ, its own message is printed.
        if found := re.fullmatch(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message):
            name, given, listed = found.groups()
            choices = re.findall(r"[\w-]+", listed)
            message = f"{name}: got {given!r}, expected one of {', '.join(choices)}{did_you_mean(given, choices)}"
        super().error(redact(message))

    def _load_own(self) -> None:
        declare, self._declare = self._declare, None
        if declare is not None:
            declare(self)


def print_help(parser: argparse.ArgumentParser) -> int:
    """Print the help where no command was typed, and return the exit code of wrong usage.

    As git does: the help is on standard output, for a pager, and the code is an error, as a script whose variable is
    empty must not continue as if its command had run.
    """
    parser.print_help()
    return EXIT_USAGE


def number(most: float, unit: str) -> Callable[[str], float]:
    """Return an option's type: a number from 0 to ``most``, neither infinite nor NaN; ``unit`` is for the error."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        # NaN compares with nothing, so that it fails here as well.
        if 0 <= value <= most:
            return value
        raise argparse.ArgumentTypeError(f"got {text!r}, expected {unit} from 0 to {most:g}")

    return parse


def did_you_mean(given: str, names: Iterable[str]) -> str:
    """Return ``; did you mean NAME?`` for the name most like ``given``, or an empty string where none is."""
    likely = difflib.get_close_matches(given, list(names), n=1)
    return f"; did you mean {likely[0]}?" if likely else ""


class _PrintCompletion(argparse.Action):
    """Prints the script when the option is parsed, as ``--help`` does: nothing else needs to be typed."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, values: object, option_string: object = None
    ) -> None:
        try:
            script = completion(parser, str(values))
        except RuntimeMissingError as error:
            parser.exit(EXIT_KNOWN, f"error: {error}\n")
        with naming_stdout():
            print(script, flush=True)
        parser.exit()


def add_completion_option(parser: argparse.ArgumentParser) -> None:
    """Declare ``--print-completion``."""
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=SHELLS,
        metavar="SHELL",
        help=f"print a completion script ({' or '.join(SHELLS)})",
    )


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script that completes the commands and options of ``parser`` in ``shell``.

    Raises RuntimeMissingError where shtab is not installed: a board needs it only once, so fmd does not depend on it.
    """
    if isinstance(parser, Parser):
        parser.load()
    try:
        import shtab
    except ImportError as error:
        raise RuntimeMissingError("--print-completion needs shtab: pip install 'fmd-edge[completion]'") from error
    for each in _all_parsers(parser):
        for action in each._actions:
            if action.type is Path:
                # The attribute by which shtab knows what an argument is completed with.
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    script: str = shtab.complete(parser, shell)
    return script


def _all_parsers(parser: argparse.ArgumentParser) -> Iterable[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _all_parsers(inner)

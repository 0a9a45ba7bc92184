"""Questions of ``fmd flash`` without options, one at a time. The answers are the same as the command's options.

Nothing here writes: :mod:`edge.commands.flash` prints what it would write, and calls ``confirm`` of the answers.
"""

from __future__ import annotations

import argparse
import getpass
import io
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from edge.errors import FmdError, SettingsError
from edge.flash import checks, crypt, download, laptop, package, volumes
from edge.flash.card import recognise
from edge.flash.content import wpa_psk
from edge.flash.laptop import Laptop
from edge.flash.settings import read
from edge.flash.target import open_target
from edge.flash.volumes import Volume
from edge.page import password

NONE = "-"
"""Answer that leaves something out."""
INTRODUCTION = f"""\
Prepare a card that installs fmd by itself. Nothing is written before you confirm.
Enter takes what is in brackets, {NONE} leaves it out. Ctrl-C ends."""
ENDED = "the input ended before the last question; nothing was written"
NO_TERMINAL = "command line: no terminal to ask for a password; give it in a file, with the option that --help lists"
SEARCH = "search again"
"""Answer that searches for a card again, which a desktop may mount seconds after it is inserted."""
SEARCHES = 50
TRIES = 5
"""Number of wrong answers to one question: input from a broken terminal must not repeat for ever."""


def hidden(prompt: str) -> str:
    """Return what is typed without showing it. Raises SettingsError where only a visible input is possible."""
    with warnings.catch_warnings():
        # Python would warn and then show what is typed, or read it from a pipe.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt)
        except getpass.GetPassWarning as error:
            raise SettingsError(NO_TERMINAL) from error


@dataclass(frozen=True, slots=True)
class Console:
    """Where questions are asked; ``secret`` does not show what is typed."""

    ask: Callable[[str], str] = input
    secret: Callable[[str], str] = hidden
    say: Callable[[str], None] = print


@dataclass(frozen=True, slots=True)
class Question:
    """A question for the option ``name``; a ``secret`` is asked twice and is not part of the printed command.

    ``default`` computes the value in brackets. The question is asked if ``needs`` was answered and ``unless`` was not.
    """

    name: str
    text: str
    default: Callable[[Laptop], str] = lambda laptop: ""
    needs: str = ""
    unless: str = ""
    secret: bool = False
    required: bool = False
    check: Callable[[str, Mapping[str, str]], object] | None = None


@dataclass
class Answers:
    """Answers by option (without hyphens in front), and secrets by the option that they belong to."""

    options: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)


QUESTIONS = (
    Question("door", "Name of the door", lambda laptop: "door-1"),
    Question("wifi", "Name of the Wi-Fi"),
    Question("wifi-country", "Country of the Wi-Fi", attrgetter("country"), needs="wifi", required=True),
    Question(
        "wifi",
        "Password of the Wi-Fi",
        needs="wifi",
        secret=True,
        check=lambda value, answers: value and wpa_psk(answers["wifi"], value),
    ),
    Question("user", "Name of a user who may log in", attrgetter("user")),
    Question(
        "ssh-key",
        "File with the public SSH key of that user",
        attrgetter("key"),
        needs="user",
        check=lambda value, answers: checks.public_keys(Path(value)),
    ),
    Question(
        "user",
        "Password of that user",
        needs="user",
        unless="ssh-key",
        secret=True,
        required=True,
        check=lambda value, answers: crypt.check(value),
    ),
    Question("timezone", "Time zone", lambda laptop: laptop.zone or "Etc/UTC"),
    Question(
        "page",
        "Password of the web page, none for no page",
        secret=True,
        check=lambda value, answers: _check_page(value),
    ),
    Question("mqtt", "MQTT broker that receives messages"),
    Question("mqtt-user", "User at the broker", needs="mqtt"),
    Question("mqtt", "Password at the broker", needs="mqtt-user", secret=True),
)
"""In the order in which they are asked, after card and package."""


def answered(arguments: argparse.Namespace) -> argparse.Namespace:
    """Return ``arguments`` with what the user answers in the terminal. Raises SettingsError without a terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SettingsError(
            "command line: no options, and no terminal to ask for them; give --package; fmd flash --help lists all"
        )
    if isinstance(sys.stdin, io.TextIOWrapper):
        # What is typed in another encoding than the terminal's is refused by the checks, not by Python.
        sys.stdin.reconfigure(errors="surrogateescape")
    console = Console()
    answers = asked(console, volumes.cards(), proposed_packages(), laptop.here())
    return completed(arguments, answers, console)


def completed(arguments: argparse.Namespace, answers: Answers, console: Console) -> argparse.Namespace:
    """Return ``arguments`` with the answers, the secrets, and a function ``confirm`` that asks whether to write."""
    for name, value in answers.options.items():
        key = name.replace("-", "_")
        given: object = Path(value) if name in ("target", "ssh-key") and value else value
        setattr(arguments, key, [value] if name == "package" else given or None if name == "ssh-key" else given)
    arguments.secrets = answers.secrets
    arguments.page = bool(answers.secrets.get("page"))
    arguments.confirm = lambda: confirmed(console, answers)
    return arguments


def asked(
    console: Console,
    found: Sequence[Volume],
    packages: Sequence[str],
    here: Laptop,
    search: Callable[[], Sequence[Volume]] = volumes.cards,
) -> Answers:
    """Return the answers to all questions. Raises SettingsError if the input ends.

    ``found`` are the mounted cards, ``search`` returns those of a later moment. ``packages`` are files and addresses of
    fmd's package, the best first.
    """
    answers = Answers()
    console.say(INTRODUCTION)
    answers.options["target"] = _card(console, found, here, search)
    proposed = packages[0] if packages else ""
    place = Question(
        "package", "Package of fmd, a file or the address of a release", lambda laptop: proposed, required=True
    )
    answers.options["package"] = _answer(console, place, _check_package, here)
    for question in QUESTIONS:
        given = answers.options
        if (question.needs and not given.get(question.needs)) or (question.unless and given.get(question.unless)):
            continue
        if question.secret:
            answers.secrets[question.name] = _secret_answer(console, question, given)
        else:
            given[question.name] = _answer(console, question, _checker(question, given), here)
    return answers


def confirmed(console: Console, answers: Answers, windows: bool = os.name == "nt") -> bool:
    """Print the command that does the same, and return whether the user wants to write."""
    console.say("The same without questions:")
    console.say(f"  {command(answers, windows)}")
    if answers.secrets:
        console.say("  (it asks for the passwords again, or reads them from files: fmd flash --help)")
    return _line(console.ask, "Write this to the card? [y/N]: ").strip().lower() in ("y", "yes")


def command(answers: Answers, windows: bool = os.name == "nt") -> str:
    """Return the command line with the answers, without any secret."""
    options = {name: value for name, value in answers.options.items() if value and name != "target"}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    program = ["fmd"] if Path(sys.argv[0]).stem == "fmd" else ["py" if windows else "python3", "-m", "edge"]
    page = ["--page"] if answers.secrets.get("page") else []
    # A backslash before a quotation mark means another thing to Windows.
    target = re.sub(r"^([A-Za-z]:)\\$", r"\1", answers.options["target"])
    words = [*program, "flash", target, *words, *page, "--write"]
    return " ".join(map(_quoted, words)) if windows else shlex.join(words)


def _quoted(word: str) -> str:
    """Return a word as the shells of Windows take it: in quotes, a backslash at the end doubled."""
    if re.fullmatch(r"[\w.:/\\@~+-]*[\w.:/@~+-]", word):
        return word
    inner = word.replace('"', '\\"')
    end = "\\" if inner.endswith("\\") else ""
    return f'"{inner}{end}"'


def proposed_packages() -> list[str]:
    """Return fmd's packages on this laptop, then the release that this fmd comes from."""
    return [*map(str, found_packages()), *filter(None, [download.own_release()])]


def found_packages(folders: Sequence[Path] | None = None) -> list[Path]:
    """Return fmd's packages here and among the user's downloads, the newest first."""
    places = [Path(), Path.home() / "Downloads"] if folders is None else folders
    found = [file for place in places for file in place.glob(download.PACKAGE)]
    return sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)


def asked_twice(prompt: str, ask: Callable[[str], str], say: Callable[[str], None] = print) -> str:
    """Return a secret that was typed twice alike, an empty one once. Raises SettingsError if the input ends."""
    for _ in range(TRIES):
        first = _line(ask, prompt)
        if not first or _line(ask, "again: ") == first:
            return first
        say("  the two differ")
    raise SettingsError(f"{TRIES} times two different passwords; nothing was written")


def _card(console: Console, found: Sequence[Volume], here: Laptop, search: Callable[[], Sequence[Volume]]) -> str:
    for _ in range(SEARCHES):
        if (chosen := _chosen_card(console, found, here)) != SEARCH:
            return chosen
        found = search()
    raise SettingsError(f"Card: {SEARCHES} searches without a card; nothing was written")


def _chosen_card(console: Console, found: Sequence[Volume], here: Laptop) -> str:
    """Return the card that the user names, or SEARCH."""
    usable = [volume for volume in found if volume.card and not volume.read_only]
    for volume in found:
        number = f"{usable.index(volume) + 1} " if volume in usable else ""
        console.say(f"  {number}{volume}")
    if not usable:
        console.say("  no card with Raspberry Pi OS found: insert it again, or name an image file")
    default = str(usable[0].root) if len(usable) == 1 else SEARCH

    def check(value: str) -> None:
        if value != SEARCH:
            recognise(open_target(Path(value)))

    numbers = {str(number): str(volume.root) for number, volume in enumerate(usable, 1)}
    text = "Card, by its number, folder or drive" if len(usable) > 1 else "Card"
    question = Question("target", text, lambda laptop: default, required=True)
    answer = _answer(console, question, lambda value: check(numbers.get(value, value)), here)
    return numbers.get(answer, answer)


def _check_page(value: str) -> None:
    if value and (problem := password.problem(value)):
        raise SettingsError(problem)


def _check_package(value: str) -> None:
    if download.is_address(value):
        download.check_address(value)
        return
    package.check(Path(value), read(Path(value)), "fmd")


def _checker(question: Question, given: Mapping[str, str]) -> Callable[[str], object]:
    if question.check is not None:
        check = question.check
        return lambda value: check(value, given)
    return lambda value: checks.check(question.name, value)


def _answer(console: Console, question: Question, check: Callable[[str], object], here: Laptop) -> str:
    """Return the answer to a question, empty if it is left out; a wrong one is asked again."""
    default = question.default(here)
    shown = f" [{default or 'none'}]" if default or not question.required else ""
    for _ in range(TRIES):
        typed = _line(console.ask, f"{question.text}{shown}: ")
        # Spaces around the name of a Wi-Fi are part of it.
        value = (typed if question.name == "wifi" else typed.strip().strip('"')) or default
        if value in ("", NONE) and not question.required:
            return ""
        try:
            check(value)
        except FmdError as error:
            console.say(f"  {error}")
        else:
            return value
    raise SettingsError(f"{question.text}: {TRIES} answers that cannot be used; nothing was written")


def _secret_answer(console: Console, question: Question, given: Mapping[str, str]) -> str:
    for _ in range(TRIES):
        value = asked_twice(f"{question.text} (not shown): ", console.secret, console.say)
        try:
            if question.required and not value:
                raise SettingsError("got nothing, expected a password")
            if question.check is not None:
                question.check(value, given)
        except (FmdError, ValueError) as error:
            console.say(f"  {error}")
        else:
            return value
    raise SettingsError(f"{question.text}: {TRIES} answers that cannot be used; nothing was written")


def _line(ask: Callable[[str], str], prompt: str) -> str:
    try:
        return ask(prompt)
    except EOFError as error:
        raise SettingsError(ENDED) from error

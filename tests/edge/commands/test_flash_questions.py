"""The questions of fmd flash: answers, wrong answers, the printed command, and a real terminal."""

from __future__ import annotations

import argparse
import os
import pty
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from edge.commands.flash_questions import Answers, Console, asked, command, completed, found_packages
from edge.errors import SettingsError
from edge.flash import volumes
from edge.flash.laptop import Laptop
from tests.edge.flash.conftest import TRIXIE, deb_of, fill
from tests.edge.parts import PATIENCE_S, ROOT

SECRETS = {
    "Password of the Wi-Fi": "correct horse",
    "Password of that user": "login secret",
    "Password of the web page": "page secret 1",
    "Password at the broker": "broker secret",
}


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return fill(tmp_path / "bootfs", TRIXIE)


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    path = tmp_path / "fmd_1_arm64.deb"
    path.write_bytes(deb_of("Package: fmd\nVersion: 1\nArchitecture: arm64\n"))
    return path


class User:
    """A user who answers the questions that contain a key, several answers in turn, and else presses Enter."""

    def __init__(self, answers: Mapping[str, str | Sequence[str]], ends_after: int = 1000) -> None:
        self._left = {key: [value] if isinstance(value, str) else list(value) for key, value in answers.items()}
        self._secret = ""
        self._ends_after = ends_after
        self.lines: list[str] = []
        self.console = Console(self._ask, self._type, self.lines.append)

    def _ask(self, prompt: str) -> str:
        self.lines.append(prompt)
        if len(self.lines) > self._ends_after:
            raise EOFError
        key = next((key for key in self._left if prompt.startswith(key)), "")
        answers = self._left.get(key, [""])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def _type(self, prompt: str) -> str:
        if prompt.startswith("again"):
            return self._secret
        self._secret = self._ask(prompt)
        return self._secret

    def shown(self) -> str:
        return "\n".join(self.lines)


def test_enter_takes_the_only_card_the_newest_package_and_what_the_laptop_says(card: Path, deb: Path) -> None:
    user = User({"Password of that user": "login secret"})
    answers = asked(user.console, volumes.cards([card]), [str(deb), "other"], Laptop("ann", "DE", "Europe/Berlin"))
    expected = {"target": str(card), "package": str(deb), "door": "door-1", "user": "ann", "timezone": "Europe/Berlin"}
    assert {name: value for name, value in answers.options.items() if value} == expected
    assert answers.secrets == {"user": "login secret", "page": ""}
    assert "Country of the Wi-Fi" not in user.shown()
    assert "broker:" not in user.shown()


def test_every_question_can_be_answered_and_secrets_are_neither_printed_nor_in_the_command(
    card: Path, deb: Path, tmp_path: Path
) -> None:
    user = User(
        {
            "Name of the door": "Main_1",
            "Name of the Wi-Fi": " Café '1' ",
            "Country of the Wi-Fi": "DE",
            "Name of a user": "me",
            "File with the public": "-",
            "Time zone": "Europe/Berlin",
            "MQTT broker": "broker.local:8883",
            "User at the broker": "door",
            "Write this": "y",
            **SECRETS,
        }
    )
    answers = asked(user.console, volumes.cards([card]), [str(deb)], Laptop())
    assert answers.options["wifi"] == " Café '1' "
    assert answers.secrets == dict(zip(("wifi", "user", "page", "mqtt"), SECRETS.values(), strict=True))
    arguments = completed(argparse.Namespace(), answers, user.console)
    assert arguments.confirm() is True
    words = shlex.split(command(answers, windows=False))
    assert words[words.index("--wifi") + 1] == " Café '1' "
    assert words[-2:] == ["--page", "--write"]
    assert not [secret for secret in SECRETS.values() if secret in user.shown()]


def test_enter_searches_again_for_a_card_that_was_not_there(card: Path, deb: Path) -> None:
    user = User({"Password of that user": "login secret"})
    later = iter([volumes.cards([]), volumes.cards([card])])
    answers = asked(user.console, [], [str(deb)], Laptop("ann"), lambda: next(later))
    assert answers.options["target"] == str(card)
    assert [line for line in user.lines if line.startswith("Card")] == [
        *["Card [search again]: "] * 2,
        f"Card [{card}]: ",
    ]
    assert user.shown().count("no card with Raspberry Pi OS found") == 2


def test_a_search_for_a_card_ends(deb: Path) -> None:
    user = User({})
    with pytest.raises(SettingsError, match="50 searches without a card; nothing was written"):
        asked(user.console, [], [str(deb)], Laptop(), list)


def test_a_wrong_answer_is_explained_and_asked_again(card: Path, deb: Path, tmp_path: Path) -> None:
    (tmp_path / "short.deb").write_bytes(deb.read_bytes()[:200])
    user = User(
        {
            "Card": [str(tmp_path), str(card)],
            "Package": [str(tmp_path / "short.deb"), "http://example.org/", f'"{deb}"'],
            "Name of the door": ["door 1", "Tür", "door-2"],
            "Name of the Wi-Fi": ["x" * 33, "Shop"],
            "Country": ["Germany", "DE"],
            "Password of the Wi-Fi": ["short", "correct horse"],
            "Name of a user": ["root", "Ann", "ann"],
            "File with the public": [str(deb), "-"],
            "Password of that user": ["", "login secret"],
            "Time zone": ["Europe/Berln", "Europe/Berlin"],
            "Password of the web page": ["1234", "page secret 1"],
            "MQTT broker": ["broker:99999", "-"],
        }
    )
    answers = asked(user.console, volumes.cards([card]), [], Laptop())
    named = {name: answers.options[name] for name in ("package", "door", "wifi", "user", "mqtt")}
    assert named == {"package": str(deb), "door": "door-2", "wifi": "Shop", "user": "ann", "mqtt": ""}
    for said in (
        "not the boot partition",
        "not a Debian package",
        "expected an address that begins with https://",
        "got 'door 1', expected letters",
        "expected a name of 1 to 32 bytes",
        "two capital letters",
        "expected 8 to 63",
        "a user of the system",
        "not a public SSH key",
        "expected a password",
        "did you mean Europe/Berlin?",
        "got 4 characters, expected 8",
        "got port 99999",
    ):
        assert said in user.shown()


def test_two_cards_are_numbered(card: Path, deb: Path, tmp_path: Path) -> None:
    other = fill(tmp_path / "other", TRIXIE)
    user = User({"Card, by its number": "2", "Name of a user": "-"})
    answers = asked(user.console, volumes.cards([card, other]), [str(deb)], Laptop())
    assert answers.options["target"] == str(other)
    assert f"  1 {card} (bootfs" in user.shown()


def test_a_locked_card_and_one_of_another_system_are_named_but_not_offered(
    card: Path, deb: Path, tmp_path: Path
) -> None:
    (found,) = volumes.cards([card])
    locked = volumes.Volume(found.root, "bootfs", found.size, True, found.card)
    user = User({"Card": "-"})
    with pytest.raises(SettingsError, match="answers that cannot be used; nothing was written"):
        asked(user.console, [locked], [str(deb)], Laptop())
    assert "write-protected" in user.shown()
    assert "no card with Raspberry Pi OS found" in user.shown()


@pytest.mark.parametrize("number", range(3, 9))
def test_the_end_of_the_input_ends_the_questions(card: Path, deb: Path, number: int) -> None:
    with pytest.raises(SettingsError, match="the input ended before the last question; nothing was written"):
        asked(User({}, ends_after=number).console, volumes.cards([card]), [str(deb)], Laptop())


def test_passwords_that_differ_are_asked_again(card: Path, deb: Path) -> None:
    typed = iter(["one secret", "other secret", "login secret", "login secret", "", ""])
    user = User({"Name of a user": "me", "File with": "-"})
    console = Console(user.console.ask, lambda prompt: next(typed), user.console.say)
    assert asked(console, volumes.cards([card]), [str(deb)], Laptop()).secrets["user"] == "login secret"
    assert "  the two differ" in user.lines


def test_the_command_is_printed_as_windows_takes_it() -> None:
    options = {"target": "D:\\", "package": "C:\\My files\\fmd.deb", "door": "door-1", "wifi": 'a"b', "mqtt": ""}
    printed = command(Answers(options, {"page": ""}), windows=True)
    expected = r'flash D: --package "C:\My files\fmd.deb" --door door-1 --wifi "a\"b" --write'
    assert printed.partition(" flash ")[2] == expected.partition("flash ")[2]


def test_the_newest_package_is_proposed(tmp_path: Path) -> None:
    for age, name in enumerate(("fmd_2_arm64.deb", "fmd_1_arm64.deb", "fmd_3_amd64.deb", "other_arm64.deb")):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    assert [path.name for path in found_packages([tmp_path])] == ["fmd_2_arm64.deb", "fmd_1_arm64.deb"]


class Terminal:
    """The real command in a terminal of its own, in an empty folder with a package."""

    def __init__(self, folder: Path, encoding: str) -> None:
        self._master, slave = pty.openpty()
        environment = {"HOME": str(folder), "USER": "ann", "PATH": "/nonexistent", "PYTHONIOENCODING": encoding}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge", "flash"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={**environment, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""

    def until(self, words: str) -> None:
        """Read until the terminal shows ``words`` after what was awaited before."""
        ends = time.monotonic() + PATIENCE_S
        while words not in self.text:
            assert time.monotonic() < ends, f"no {words!r} in {self.text!r}"
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self._master, 4096).decode("utf-8", "replace")
                except OSError:  # the end of a terminal on Linux
                    break
        assert words in self.text, self.text
        self.text = self.text.partition(words)[2]

    def interrupts(self) -> None:
        """Press Ctrl-C; again if Python received it just before it began to wait for a line."""
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            self.process.send_signal(signal.SIGINT)
            if select.select([self._master], [], [], 1.0)[0]:
                return

    def types(self, text: str) -> None:
        os.write(self._master, text.encode())

    def ends(self) -> int:
        code = self.process.wait(PATIENCE_S)
        os.close(self._master)
        return code


@pytest.fixture
def terminal(request: pytest.FixtureRequest, tmp_path: Path, deb: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path, getattr(request, "param", "utf-8"))
    yield opened
    opened.process.kill()
    opened.process.wait()


@pytest.mark.parametrize(
    ("terminal", "answer"), [("utf-8", "y"), ("ascii", "y"), ("cp1252", "n")], indirect=["terminal"]
)
def test_a_card_is_prepared_in_a_terminal(terminal: Terminal, card: Path, answer: str) -> None:
    terminal.until("Card")
    terminal.types(f"{card}\n")
    for question, typed in (
        ("Package", ""),
        ("Name of the door", "door-7"),
        ("Name of the Wi-Fi", "-"),
        ("Name of a user", "ann"),
        ("File with", "-"),
        ("Password of that user", "login secret"),
        ("again", "login secret"),
        ("Time zone", "Europe/Berlin"),
        ("Password of the web page", ""),
        ("MQTT", ""),
    ):
        terminal.until(question)
        terminal.types(f"{typed}\n")
    terminal.until("-m edge flash")
    terminal.until("Write this to the card? [y/N]")
    assert not (card / "fmd").exists()
    terminal.types(f"{answer}\n")
    terminal.until("written and read back" if answer == "y" else "nothing was written")
    assert terminal.ends() == 0
    if answer == "n":
        assert not (card / "fmd").exists()
        return
    assert "door-7" in (card / "user-data").read_text()
    assert b"login secret" not in (card / "user-data").read_bytes()


def test_ctrl_c_ends_in_one_line(terminal: Terminal, card: Path) -> None:
    terminal.until("Card")
    terminal.until(": ")
    terminal.interrupts()
    terminal.until("\ninterrupted")
    assert terminal.ends() == 130
    assert not (card / "fmd").exists()

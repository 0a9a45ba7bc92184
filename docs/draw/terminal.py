"""A terminal of Windows with the questions of ``fmd flash``: the command's own code asks them, a script answers."""

from __future__ import annotations

import io
import tarfile
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path

from docs.draw.svg import Sheet
from edge.commands.flash_questions import Answers, Console, asked, confirmed
from edge.flash.card import recognise
from edge.flash.laptop import Laptop
from edge.flash.target import MountedFolder
from edge.flash.volumes import Volume

DRIVE, DOWNLOADS = "D:\\", r"C:\Users\ann\Downloads"
CARD: Mapping[str, str] = {
    "config.txt": "",
    "cmdline.txt": "",
    "kernel8.img": "",
    "issue.txt": "Raspberry Pi reference 2025-11-24\n",
    "user-data": "",
    "meta-data": "",
}
"""What makes a folder the boot partition of Raspberry Pi OS."""
SIZE = 536_000_000
LAPTOP = Laptop("ann", "DE", "Europe/Berlin")
TYPED: Mapping[str, str] = {"Name of the door": "entrance", "Name of the Wi-Fi": "Shop", "Write this": "y"}
"""Beginning of a question -> what the user types; else only Enter."""
SECRET = "correct horse"
"""Never shown: the terminal shows no password either."""
ENTER = "↵"
PROMPT = r"C:\Users\ann> "
COLUMNS, LINE = 106, 18
DARK, LIGHT, BRIGHT = "#1b1b1f", "#d4d4d8", "#fde047"

Line = tuple[str, str]
"""What the command prints, and what the user types behind it."""


def picture() -> str:
    """Return the drawing as SVG."""
    lines = [(PROMPT, "py -m edge flash"), *_wrapped(session())]
    sheet = Sheet(900, LINE * len(lines) + 44, "fmd flash asks, in a terminal of Windows")
    sheet.box(4, 4, 892, LINE * len(lines) + 36, fill=DARK, colour=DARK)
    for number, (printed, typed) in enumerate(lines):
        sheet.code(20, 34 + LINE * number, [(printed, LIGHT), (typed, BRIGHT)])
    return sheet.svg()


def session() -> list[Line]:
    """Return what the questions print and what the user types, with the paths of a laptop with Windows."""
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        card, package = Path(folder) / "card", Path(folder) / "fmd_1.0.0_arm64.deb"
        card.mkdir()
        for name, text in CARD.items():
            (card / name).write_text(text)
        package.write_bytes(_package())

        def shown(text: str) -> str:
            return text.replace(str(card), DRIVE).replace(folder + "/", DOWNLOADS + "\\")

        def ask(prompt: str) -> str:
            typed = next((typed for start, typed in TYPED.items() if prompt.startswith(start)), "")
            lines.append((shown(prompt), typed or ENTER))
            return typed

        def secret(prompt: str) -> str:
            lines.append((shown(prompt), ENTER))
            return SECRET

        console = Console(ask, secret, lambda text: lines.extend((shown(line), "") for line in text.splitlines()))
        volume = Volume(card, "bootfs", SIZE, card=recognise(MountedFolder(card)))
        answers = asked(console, [volume], [str(package)], LAPTOP)
        lines.append(("  ... the list of all files that it would write ...", ""))
        options = {name: shown(value) for name, value in answers.options.items()}
        confirmed(console, Answers(options, answers.secrets), windows=True)
    return lines


def _wrapped(lines: list[Line]) -> list[Line]:
    """Return the lines as a terminal of COLUMNS shows them."""
    wrapped: list[Line] = []
    for printed, typed in lines:
        parts = textwrap.wrap(printed, COLUMNS, drop_whitespace=False, break_on_hyphens=False) or [""]
        wrapped += [*((part, "") for part in parts[:-1]), (parts[-1], typed)]
    return wrapped


def _package() -> bytes:
    """Return the smallest Debian package that fmd flash takes for its own."""
    control = b"Package: fmd\nVersion: 1.0.0\nArchitecture: arm64\n"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        info = tarfile.TarInfo("control")
        info.size = len(control)
        archive.addfile(info, io.BytesIO(control))
    members = {"debian-binary": b"2.0\n", "control.tar.gz": packed.getvalue(), "data.tar": b""}
    return b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        for name, data in members.items()
    )

"""The options of ``fmd flash``; apart from what reads them, so that ``fmd --help`` loads nothing else."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare what :func:`edge.commands.flash.run` reads."""
    add = parser.add_argument
    add("target", type=Path, help="the boot partition of a card, as a folder, or an image file of Raspberry Pi OS")
    add(
        "--package",
        type=Path,
        action="append",
        required=True,
        metavar="DEB",
        help="fmd's .deb; again for what it needs",
    )
    add("--config", type=Path, help="settings file, becomes /etc/fmd/fmd.toml; models it names go along")
    for task in ("detector", "classifier"):
        add(f"--{task}", type=Path, metavar="MODEL", help=f"a {task} by fmd-convert, named in the settings for you")
    add("--hostname", default="", help="what the board is called on the network")
    add("--timezone", default="", help="as in Europe/Berlin")
    add("--wifi", default="", metavar="SSID", help="Wi-Fi to join; its password is asked for")
    add("--wifi-password-file", type=Path, metavar="FILE", help="read the password there; empty for an open net")
    add("--wifi-country", default="", metavar="CC", help="where the board stands, as in DE; needed with --wifi")
    add("--wifi-hidden", action="store_true", help="the network does not tell its name")
    add("--user", default="", help="who may log in; without one nobody can")
    add("--ssh-key", type=Path, metavar="PUB", help="the public key to log in by; without it a password is asked for")
    add("--write", action="store_true", help="do it; without this, only tell what would be written")

"""What counts as a boot partition of Raspberry Pi OS, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import CardError
from edge.flash.card import Card, recognise
from edge.flash.target import open_target


def test_bookworm_is_configured_by_firstrun(bookworm: Path) -> None:
    assert recognise(open_target(bookworm)) == Card("2025-05-13", "firstrun")


def test_trixie_is_configured_by_cloud_init(trixie: Path) -> None:
    assert recognise(open_target(trixie)) == Card("2025-11-24", "cloud-init")


@pytest.mark.parametrize("name", ["cmdline.txt", "config.txt", "issue.txt", "kernel8.img"])
def test_a_folder_with_a_file_missing_is_refused(bookworm: Path, name: str) -> None:
    (bookworm / name).unlink()
    with pytest.raises(CardError, match=f"not the boot partition of a 64-bit Raspberry Pi OS: no {name}"):
        recognise(open_target(bookworm))


@pytest.mark.parametrize(
    ("issue", "said"),
    [
        ("Raspberry Pi reference 2023-05-03", "Raspberry Pi OS of 2023-05-03, expected Bookworm"),
        ("LibreELEC 12\nfor you", "got 'LibreELEC 12', expected Raspberry Pi reference"),
        ("", "got ''"),
    ],
)
def test_other_systems_and_older_ones_are_refused(bookworm: Path, issue: str, said: str) -> None:
    (bookworm / "issue.txt").write_text(issue)
    with pytest.raises(CardError, match=said):
        recognise(open_target(bookworm))


def test_a_32_bit_system_is_refused(bookworm: Path) -> None:
    (bookworm / "kernel7l.img").write_text("kernel")
    with pytest.raises(CardError, match="a 32-bit Raspberry Pi OS; write the 64-bit image"):
        recognise(open_target(bookworm))

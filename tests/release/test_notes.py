"""Release notes are the section of a version, with links that work where they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from release.errors import ReleaseError
from release.notes import notes, section
from tests.edge.parts import ROOT
from tests.release.conftest import CHANGELOG


def test_the_section_of_a_version_ends_at_the_next_one() -> None:
    assert section(CHANGELOG, "1.2.3") == "### Added\n\n- A thing, described [here](docs/thing.md#how).\n"
    assert section(CHANGELOG, "1.2.0") == "- The first.\n"


@pytest.mark.parametrize("version", ["1.2", "2.3", "1.2.33"])
def test_a_part_of_a_version_is_another_one(version: str) -> None:
    with pytest.raises(ReleaseError, match="no section"):
        section(CHANGELOG, version)


def test_notes_link_to_the_files_of_this_version_and_say_how_to_check_them(repository: Path) -> None:
    text = notes(repository, "1.2.3", "https://github.com/Someone/fmd", "ABCD")
    assert "[here](https://github.com/Someone/fmd/blob/v1.2.3/docs/thing.md#how)" in text
    assert "fingerprint `ABCD`" in text
    assert "gpg --verify SHA256SUMS.asc SHA256SUMS" in text


def test_what_is_unreleased_becomes_notes_once_it_has_a_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = changelog.replace("## [Unreleased]\n", "## [Unreleased]\n\n## [9.0.0] - 2030-01-01\n", 1)
    assert section(released, "9.0.0").startswith("### ")

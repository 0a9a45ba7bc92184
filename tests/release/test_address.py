"""The address of the repository is one setting; pages that repeat it follow."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from release.address import PLACEHOLDER, SITE_PLACEHOLDER, address, site, write
from release.errors import ReleaseError
from tests.edge.parts import ROOT
from tests.release.conftest import git

PAGES = ("setup.cfg", "SECURITY.md", "README.md", "CONTRIBUTING.md", "docs/install.md", "docs/upgrade.md")


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A repository with this one's setting and the pages that repeat it."""
    for name in PAGES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    return tmp_path


def test_setting_and_pages_agree() -> None:
    assert f"{address()}/security/advisories/new" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert f"{site(address())}/apt/fmd.sources" in (ROOT / "docs/install.md").read_text(encoding="utf-8")


def test_no_page_keeps_an_old_address(pages: Path) -> None:
    changed = write("https://github.com/Someone/fmd", pages)
    assert {pages / name for name in ("setup.cfg", "SECURITY.md", "docs/install.md")} <= set(changed)
    assert address(pages) == "https://github.com/Someone/fmd"
    texts = [(pages / name).read_text(encoding="utf-8") for name in PAGES]
    for old in (address(), site(address())):
        assert not any(old in text for text in texts)
    assert "https://someone.github.io/fmd/apt/fmd.sources" in (pages / "docs/install.md").read_text(encoding="utf-8")
    # And to another one, whose beginning is the same.
    write("https://github.com/Someone/fmd-2", pages)
    write("https://github.com/Other/fmd", pages)
    assert "Someone" not in "".join((pages / name).read_text(encoding="utf-8") for name in PAGES)


def test_a_wrong_address_changes_nothing(pages: Path) -> None:
    for wrong in ("github.com/a/b", "https://github.com/a", "https://github.com/a/b/", "https://example.org/a/b", ""):
        with pytest.raises(ReleaseError, match="OWNER/NAME"):
            write(wrong, pages)
    assert address(pages) == address()


def test_the_site_is_that_of_the_repository() -> None:
    assert site(PLACEHOLDER) == SITE_PLACEHOLDER
    assert site("https://github.com/Some-One/fmd.door") == "https://some-one.github.io/fmd.door"


def test_no_file_but_the_setting_and_pages_states_the_placeholder() -> None:
    if address() != PLACEHOLDER:
        pytest.skip("the address is set")
    files = (path for pattern in ("*", "release/*", ".github/*/*", "edge/**/*.py") for path in ROOT.glob(pattern))
    stating = {path.name for path in files if path.is_file() and PLACEHOLDER in path.read_text(errors="replace")}
    assert {name for name in stating if not name.endswith(".md")} == {"setup.cfg", "address.py"}

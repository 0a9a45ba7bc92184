"""The documentation site: pages as they are in the repository, with working links, lists and anchors."""

from __future__ import annotations

from pathlib import Path

import pytest

from release import site
from release.errors import ReleaseError
from tests.edge.parts import ROOT
from tests.release.conftest import git

FILES = "https://github.com/Someone/fmd/blob/v1"
STAGED = {"README.md", "docs/README.md", "docs/install.md", "docs/a.svg"}


@pytest.mark.parametrize(
    ("link", "wanted"),
    [
        ("../README.md#try-it", "../README.md#try-it"),
        ("install.md", "install.md"),
        ("a.svg", "a.svg"),
        ("https://example.org/x", "https://example.org/x"),
        ("#here", "#here"),
        ("../edge/pipeline.py", f"{FILES}/edge/pipeline.py"),
        ("../edge/drivers", f"{FILES}/edge/drivers"),
        ("draw/svg.py#L3", f"{FILES}/docs/draw/svg.py#L3"),
    ],
)
def test_links_to_what_the_site_lacks_lead_to_the_repository(link: str, wanted: str) -> None:
    assert site.page(f"See [this]({link}).", "docs/README.md", STAGED, FILES) == f"See [this]({wanted})."


def test_without_a_version_links_lead_to_the_newest_files() -> None:
    assert site.files_at("https://github.com/Someone/fmd", "1.2") == "https://github.com/Someone/fmd/blob/v1.2"
    assert site.files_at("https://github.com/Someone/fmd", "") == "https://github.com/Someone/fmd/blob/HEAD"


def test_what_belongs_to_a_list_item_is_indented_as_mkdocs_wants_it() -> None:
    lines = [
        "1. One:",
        "",
        "   ```",
        "   make",
        "   ```",
        "",
        "* Two",
        "  goes on",
        "",
        "After",
        "",
        "```",
        "* code",
        "  it",
        "```",
    ]
    wanted = [
        "1. One:",
        "",
        "    ```",
        "    make",
        "    ```",
        "",
        "* Two",
        "    goes on",
        "",
        "After",
        "",
        "```",
        "* code",
        "  it",
        "```",
    ]
    assert list(site.indented(lines)) == wanted


def test_docstrings_become_markdown() -> None:
    pytest.importorskip("griffe")
    from release.docstrings import markdown

    text = "Raises :class:`edge.errors.CameraError`.\n\n>>> one()\n... more\n1\n\nAfter ``code``."
    assert markdown(text) == (
        "Raises `edge.errors.CameraError`.\n\n```pycon\n>>> one()\n... more\n1\n```\n\nAfter ``code``."
    )


def test_every_page_of_docs_is_in_the_navigation() -> None:
    groups = site.navigation((ROOT / site.CONTENTS).read_text(encoding="utf-8"))
    listed = {
        path for group in groups[1:] for entries in group.values() for entry in entries for path in entry.values()
    }  # type: ignore[attr-defined]
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} - {site.CONTENTS}
    assert pages - listed == set()
    assert [path for path in listed if not (ROOT / path).is_file()] == []


def test_a_list_of_pages_without_pages_is_refused() -> None:
    with pytest.raises(ReleaseError, match=r"docs/README\.md: no list of pages"):
        site.navigation("# Nothing\n")


def test_a_broken_link_and_a_broken_anchor_are_errors(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Top\n\n[Contents](docs/README.md#nowhere)\n")
    (tmp_path / "docs/README.md").write_text("# Contents\n\n## Group\n\n* [Page](lost.md): about it\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    with pytest.raises(ReleaseError, match=r"lost\.md.*#nowhere"):
        site.build(tmp_path / "out", "1.2.3", "https://github.com/Someone/fmd", tmp_path)


@pytest.mark.slow
def test_the_site_of_this_checkout_has_all_pages_and_the_python_api(tmp_path: Path) -> None:
    site.build(tmp_path, "1.2.3", "https://github.com/Someone/fmd")
    for page in (ROOT / "docs").glob("*.md"):
        folder = "docs" if page.name == "README.md" else f"docs/{page.stem}"
        assert (tmp_path / folder / "index.html").is_file(), page
    text = (tmp_path / "docs/api/index.html").read_text(encoding="utf-8")
    assert 'id="edge.api.open_predictor"' in text
    assert ":class:" not in text
    assert "https://fonts." not in text

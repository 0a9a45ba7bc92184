"""The documentation site: the pages of the repository as they are, with navigation, search and the Python API.

    python -m release.site OUT

The pages link to files outside of docs/, such as CONTRIBUTING.md and edge/default.toml. So the whole tree of pages goes
into the site, and links to other files lead to the repository. Broken links and anchors are errors.
"""

from __future__ import annotations

import argparse
import json
import posixpath
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from edge.errors import EXIT_OK, exit_code_of
from release.address import ROOT, address, site
from release.errors import ReleaseError
from release.shell import run

PAGES = ("*.md", "*.svg", "*.png", "*.jpg", "edge/default.toml")
"""What the site contains, as patterns of git."""
CONTENTS = "docs/README.md"
"""The list of pages, which becomes the navigation."""
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
API = re.compile(r"<!-- api: (?P<modules>[^>]+) -->")
"""Where a page wants the reference of modules, which mkdocstrings makes from their docstrings."""
ICON = Path(__file__).with_name("icon.svg")
INDENT = 4
"""Spaces that Python-Markdown wants before what belongs to a list item; GitHub accepts fewer."""


def build(out: Path, version: str, repository: str, root: Path = ROOT) -> None:
    """Build the site into ``out``; raises ReleaseError with MkDocs' warnings, as every one is an error."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fmd-site-") as name:
        pages = Path(name) / "pages"
        stage(root, pages, files_at(repository, version))
        settings = {
            "INHERIT": str(ROOT / "release/mkdocs.yml"),
            "docs_dir": str(pages),
            "site_dir": str(out.resolve()),
            "site_url": f"{site(repository)}/",
            "repo_url": repository,
            "nav": navigation((root / CONTENTS).read_text(encoding="utf-8")),
            "extra": {"version": version},
            "copyright": f"{f'fmd {version}'.strip()}, Apache-2.0",
        }
        config = Path(name) / "mkdocs.yml"
        config.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML as well
        # mkdocstrings reads the sources from here. With --quiet, MkDocs counts no warnings, and --strict has no effect.
        run([sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config], root)


def files_at(repository: str, version: str) -> str:
    """Return where a version's files can be read in the repository; without a version, its newest ones."""
    return f"{repository}/blob/{f'v{version}' if version else 'HEAD'}"


def stage(root: Path, pages: Path, files: str) -> None:
    """Copy all pages and pictures into ``pages``; ``files`` is the address of the repository's other files."""
    staged = {name for name in run(["git", "ls-files", *PAGES], root).splitlines() if not name.startswith("release/")}
    for name in sorted(staged):
        to = pages / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".md"):
            to.write_text(page((root / name).read_text(encoding="utf-8"), name, staged, files), encoding="utf-8")
        else:
            shutil.copy(root / name, to)
    shutil.copy(ICON, pages)


def page(text: str, name: str, staged: set[str], files: str) -> str:
    """Return a page for the site: links to other files lead to the repository, lists are indented for MkDocs."""
    return API.sub(_reference, "\n".join(indented(linked(text, name, staged, files).split("\n"))))


def linked(text: str, name: str, staged: Collection[str], files: str) -> str:
    """Return the text of file ``name`` with its links to files outside of ``staged`` leading below ``files``."""

    def link(found: re.Match[str]) -> str:
        target, anchor = found[1], found[2] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if ":" in target or path in staged:
            return found[0]
        return f"{files}/{path}{anchor}"

    return LINK.sub(link, text)


def _reference(found: re.Match[str]) -> str:
    return "\n\n".join(f"::: {module}" for module in found["modules"].split())


def indented(lines: list[str]) -> Iterator[str]:
    """Yield lines with what belongs to a list item indented as Python-Markdown wants it."""
    width, fenced = 0, False
    for line in lines:
        spaces = len(line) - len(line.lstrip(" "))
        if not width and line.startswith("```"):
            fenced = not fenced
        marker = None if fenced else re.match(r"([*-]|\d+\.) +", line)
        if marker:
            width = len(marker[0])
        elif line.strip() and spaces < width:
            width = 0
        yield " " * (INDENT - width) + line if width and not marker and line.strip() else line


def navigation(contents: str) -> list[dict[str, object]]:
    """Return MkDocs' navigation from the list of pages: a group for each heading, an entry for each item."""
    nav: list[dict[str, object]] = [{"fmd": "README.md"}]
    for block in re.split(r"^## ", contents, flags=re.MULTILINE)[1:]:
        title, _, rest = block.partition("\n")
        items = re.findall(r"^\* \[([^\]]+)\]\(([^)#]+)\)", rest, re.MULTILINE)
        nav.append({title: [{text: posixpath.normpath(f"docs/{target}")} for text, target in items]})
    if len(nav) == 1:
        raise ReleaseError(f"{CONTENTS}: no list of pages; expected headings `## ...` with items `* [Title](page.md)`")
    return nav


def main() -> int:
    """Build the site into the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m release.site", description="Build the documentation site.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--version", default="", help="version that links to the repository name")
    options = parser.parse_args()

    def work() -> int:
        build(options.out, options.version, address())
        print(options.out / "index.html")
        return EXIT_OK

    return exit_code_of(work)


if __name__ == "__main__":
    sys.exit(main())

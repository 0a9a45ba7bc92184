"""The address of the repository. setup.cfg states it; pages repeat it, because people read them without a build.

    python -m release.address https://github.com/OWNER/NAME

writes another address into setup.cfg and into all pages.
"""

from __future__ import annotations

import argparse
import configparser
import re
import sys
from pathlib import Path

from edge.errors import EXIT_OK, exit_code_of
from release.errors import ReleaseError
from release.shell import run

ROOT = Path(__file__).resolve().parents[1]
PLACEHOLDER = "https://REPOSITORY_ADDRESS"
SITE_PLACEHOLDER = "https://SITE_ADDRESS"
GITHUB = re.compile(r"https://github\.com/([A-Za-z0-9-]+)/([A-Za-z0-9._-]+)")
SET = "python -m release.address https://github.com/OWNER/NAME"


def address(root: Path = ROOT) -> str:
    """Return the address that setup.cfg states, or :data:`PLACEHOLDER`."""
    parsed = configparser.ConfigParser()
    parsed.read(root / "setup.cfg", encoding="utf-8")
    return parsed["metadata"]["url"]


def site(repository: str) -> str:
    """Return the address of the documentation site and apt repository: the pages of the repository on GitHub.

    Raises ReleaseError if the repository's address is neither one of GitHub nor the placeholder.
    """
    if repository == PLACEHOLDER:
        return SITE_PLACEHOLDER
    found = GITHUB.fullmatch(repository)
    if found is None:
        raise ReleaseError(
            f"url in setup.cfg: got {repository!r}, expected https://github.com/OWNER/NAME without a slash at the end; "
            f"to fix this: {SET}"
        )
    return f"https://{found[1].lower()}.github.io/{found[2]}"


def write(new: str, root: Path = ROOT) -> list[Path]:
    """Write another address into setup.cfg and all pages of the repository, and return the files that changed."""
    old = address(root)
    replaced = {site(old): site(new), old: new}
    changed = []
    for name in run(["git", "ls-files", "setup.cfg", "*.md"], root).splitlines():
        before = (root / name).read_text(encoding="utf-8")
        after = before
        for one, other in replaced.items():
            after = re.sub(rf"{re.escape(one)}(?![\w.-]*\w)", other, after)
        if after != before:
            (root / name).write_text(after, encoding="utf-8")
            changed.append(root / name)
    return changed


def main() -> int:
    """Write the address that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m release.address", description="Set the address of the repository.")
    parser.add_argument("address", help="such as https://github.com/OWNER/NAME")
    wanted = parser.parse_args().address

    def work() -> int:
        for path in write(wanted):
            print(path.relative_to(ROOT))
        return EXIT_OK

    return exit_code_of(work)


if __name__ == "__main__":
    sys.exit(main())

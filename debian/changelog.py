#!/usr/bin/python3
"""Print debian/changelog for one version of fmd: changelog.py VERSION SECONDS.

dpkg reads the version of a package there. It is that of the repository's newest tag, so the file is made by each
build (`make deb`), and is not kept in the repository. SECONDS since 1970 are the date of the version's last commit, so
that two builds of one commit give the same package.
"""

from __future__ import annotations

import sys
from email.utils import formatdate

from packaging.version import Version

MAINTAINER = "The fmd authors <fmd@localhost>"


def debian_version(text: str) -> str:
    """Return a Python version as Debian writes it, so that dpkg sorts versions as pip does.

    A tilde sorts before the end, and two before one: 1.0~~dev3 < 1.0~rc1 < 1.0 < 1.0.post1.
    """
    version = Version(text)
    parts = [".".join(map(str, version.release))]
    if version.pre is not None:
        parts.append("~" + "".join(map(str, version.pre)))
    if version.post is not None:
        parts.append(f".post{version.post}")
    if version.dev is not None:
        # After another part, one tilde is enough: 1.0~rc1~dev3 < 1.0~rc1.
        parts.append(f"{'~' if len(parts) > 1 else '~~'}dev{version.dev}")
    if version.local is not None:
        parts.append(f"+{version.local}")
    return "".join(parts)


def changelog(text: str, seconds: int) -> str:
    """Return the file: one entry, because CHANGELOG.md lists the changes."""
    return (
        f"fmd ({debian_version(text)}) unstable; urgency=medium\n\n"
        f"  * fmd {text}. CHANGELOG.md in the source lists the changes.\n\n"
        f" -- {MAINTAINER}  {formatdate(seconds)}\n"
    )


if __name__ == "__main__":
    sys.stdout.write(changelog(sys.argv[1], int(sys.argv[2])))

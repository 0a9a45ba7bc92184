"""The version of fmd. It comes from the newest tag of the repository, when fmd is installed or built."""

from __future__ import annotations

import importlib.metadata
import re

DISTRIBUTION = "fmd-edge"
"""Name of fmd on PyPI."""
NOT_INSTALLED = "(not installed: run from a checkout)"


def version() -> str:
    """Return fmd's version, such as "1.2.3"; a checkout that is not installed has none, and says so."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return NOT_INSTALLED


def number(version: str) -> float | None:
    """Return a number by which versions sort, such as 1002003 for "1.2.3"; None if ``version`` is none of fmd's.

    "1.2.3rc1" is a little less than "1.2.3", and "1.2.3.dev4" less than both.
    """
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?(?:rc(\d+))?(?:\.dev(\d+))?(?:\+|$)", version)
    if found is None:
        return None
    major, minor, patch = (int(part or 0) for part in found.group(1, 2, 3))
    candidate, commits = found.group(4, 5)
    sorted_by = float(1_000_000 * major + 1000 * minor + patch)
    if candidate:
        sorted_by += min(int(candidate), 99) / 200 - 0.5
    if commits:
        sorted_by += (min(int(commits), 9999) / 20_000 - 1) * (0.005 if candidate else 1)
    return sorted_by

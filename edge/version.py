"""The version of fmd. It comes from the newest tag of the repository, when fmd is installed or built."""

from __future__ import annotations

import importlib.metadata

DISTRIBUTION = "fmd-edge"
"""Name of fmd on PyPI."""
NOT_INSTALLED = "(not installed: run from a checkout)"


def version() -> str:
    """Return fmd's version, such as "1.2.3"; a checkout that is not installed has none, and says so."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return NOT_INSTALLED

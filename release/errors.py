"""The error of a release that cannot be made."""

from __future__ import annotations

from edge.errors import FmdError


class ReleaseError(FmdError, ValueError):
    """A release that cannot be made from this checkout or on this machine."""

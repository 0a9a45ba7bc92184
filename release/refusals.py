"""What must be true before a release is made. Each refusal states what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from release import notes, signing
from release.address import PLACEHOLDER, SET, address, site
from release.errors import ReleaseError
from release.shell import missing, run

PACKAGES = {
    "dpkg-buildpackage": "build-essential",
    "dh": "debhelper",
    "apt-ftparchive": "apt-utils",
    "gpg": "gnupg",
}
"""Program that a release needs -> Debian package that has it."""


class Release(NamedTuple):
    """A release that may be made."""

    root: Path
    """The checkout."""
    version: str
    """As Python writes it, such as "1.2.3"."""
    address: str
    """Address of the repository."""
    key: str
    """Fingerprint of the key that signs."""


def permitted(root: Path) -> Release:
    """Return what to release from ``root``; raises ReleaseError with the first reason against it."""
    if lacks := missing(PACKAGES):
        packages = " ".join(PACKAGES[program] for program in lacks)
        raise ReleaseError(f"this machine lacks {', '.join(lacks)}; to fix this: sudo apt install {packages}")
    version = tagged_version(root)
    repository = address(root)
    if repository == PLACEHOLDER:
        raise ReleaseError(
            f"url in setup.cfg is the placeholder {PLACEHOLDER}: nobody could find the downloads; to fix this: {SET}, "
            "then commit and tag again"
        )
    site(repository)
    notes.section((root / notes.CHANGELOG).read_text(encoding="utf-8"), version)
    return Release(root, version, repository, signing.signing_key(root))


def tagged_version(root: Path) -> str:
    """Return the version of the tag at this commit; raises ReleaseError without one, or with changed files."""
    if not (root / ".git").exists():
        raise ReleaseError(f"{root} is no clone: a release is made from a clone, whose tag states the version")
    if changed := run(["git", "status", "--porcelain"], root).splitlines():
        names = ", ".join(line[3:] for line in changed[:3]) + (", ..." if len(changed) > 3 else "")
        raise ReleaseError(f"the checkout differs from its commit ({names}); to fix this: commit it, or git stash -u")
    tags = run(["git", "tag", "--points-at", "HEAD", "--list", "v[0-9]*"], root).split()
    if not tags:
        raise ReleaseError(
            "no tag of a version is at this commit; to release it: git tag v1.2.3; to release a tag that exists: "
            "git fetch --tags && git checkout v1.2.3"
        )
    if len(tags) > 1:
        raise ReleaseError(f"this commit has several tags of versions ({', '.join(tags)}); delete all but one")
    return _version_of(tags[0])


def _version_of(tag: str) -> str:
    from packaging.version import InvalidVersion, Version

    try:
        version = Version(tag.removeprefix("v"))
    except InvalidVersion as error:
        raise ReleaseError(f"tag {tag}: not a version; expected one such as v1.2.3 or v1.2.3rc1") from error
    if str(version) != tag.removeprefix("v") or version.is_devrelease or version.local:
        raise ReleaseError(
            f"tag {tag}: expected v{version.base_version}, or v{version.base_version}rc1 for a candidate"
        )
    return str(version)

"""Debian packages, and the signed apt repository that serves them."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path

from release import signing
from release.address import site
from release.errors import ReleaseError
from release.refusals import Release
from release.shell import run

ARCHITECTURES = ("arm64", "amd64")
SUITE, COMPONENT = "stable", "main"
KEYRING = "/etc/apt/keyrings/fmd.asc"
"""Where a user keeps the public key; `signed-by` limits it to this repository."""


def build(release: Release, architecture: str, out: Path) -> Path:
    """Build the .deb for one architecture and move it into ``out``; its wheels are kept between builds."""
    run(["make", "deb", f"DEB_ARCH={architecture}", f"VERSION={release.version}"], release.root)
    (built,) = (release.root / "build").glob(f"fmd_*_{architecture}.deb")
    # GitHub replaces a tilde in the name of an attached file.
    return Path(shutil.move(built, out / built.name.replace("~", ".")))


def earlier_packages(folder: Path | None, version: str) -> list[Path]:
    """Return the packages in ``folder``; raises ReleaseError without such a folder, or if one has this version."""
    if folder is None:
        return []
    if not folder.is_dir():
        raise ReleaseError(f"--earlier {folder}: no such folder; it holds the packages of the version before")
    found = sorted(folder.glob("fmd_*.deb"))
    if same := [deb.name for deb in found if deb.name.split("_")[1] == version]:
        raise ReleaseError(f"--earlier {folder}: {same[0]} has the version of this release; delete it there")
    return found


def repository(release: Release, debs: Sequence[Path], earlier: Sequence[Path], out: Path) -> None:
    """Write an apt repository of ``debs`` and of ``earlier`` ones into ``out``, signed.

    Earlier versions stay, so that a board can return to one.
    """
    (out / "pool").mkdir(parents=True)
    for deb in (*earlier, *debs):
        _link_or_copy(deb, out / "pool" / deb.name)
    for architecture in ARCHITECTURES:
        folder = out / f"dists/{SUITE}/{COMPONENT}/binary-{architecture}"
        folder.mkdir(parents=True)
        index = run(["apt-ftparchive", "--arch", architecture, "packages", "pool"], out).encode()
        (folder / "Packages").write_bytes(index)
        (folder / "Packages.gz").write_bytes(gzip.compress(index, mtime=0))
    _sign_release(release, out)
    signing.public_key(release.key, out / "fmd.asc")
    (out / "fmd.sources").write_text(sources(f"{site(release.address)}/apt"), encoding="utf-8")


def _sign_release(release: Release, out: Path) -> None:
    fields = {
        "Origin": "fmd",
        "Label": "fmd",
        "Suite": SUITE,
        "Codename": SUITE,
        "Architectures": " ".join(ARCHITECTURES),
        "Components": COMPONENT,
    }
    options = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in fields.items()]
    top = out / f"dists/{SUITE}"
    text = run(["apt-ftparchive", *options, "release", top], out)
    (top / "Release").write_text(text, encoding="utf-8")
    signing.sign(top / "Release", release.key, top / "Release.gpg")
    signing.sign(top / "Release", release.key, top / "InRelease", inside=True)


def sources(address: str) -> str:
    """Return what a user puts into /etc/apt/sources.list.d/fmd.sources."""
    return f"Types: deb\nURIs: {address}\nSuites: {SUITE}\nComponents: {COMPONENT}\nSigned-By: {KEYRING}\n"


def _link_or_copy(deb: Path, to: Path) -> None:
    """Link, because a package has 200 MB; copy across file systems."""
    try:
        to.hardlink_to(deb)
    except OSError:
        shutil.copy(deb, to)

"""Templates for card images. No image of fmd was built yet, and the templates say so.

    python -m release.images fmd.img.xz --url https://... --out fmd.rpi-imager-manifest

writes the complete entry for Raspberry Pi Imager once there is an image.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import runpy
import sys
import textwrap
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from edge.errors import EXIT_OK, exit_code_of
from release import address, packages
from release.errors import ReleaseError

TEMPLATES = Path(__file__).with_name("templates")
MANIFEST = "fmd.rpi-imager-manifest"
UNVERIFIED = "UNVERIFIED: no image of fmd was built or booted yet"
BOARDS = ["pi3-64bit", "pi4-64bit", "pi5-64bit"]
"""Names of the supported boards in Raspberry Pi's own list of systems."""
CHUNK = 1 << 20


def write(out: Path, version: str, repository: str) -> None:
    """Write the templates of one version into ``out``."""
    site = address.site(repository)
    values = {
        "{version}": version,
        "{site}": site,
        "{debian}": debian_version(version),
        "{sources}": textwrap.indent(packages.sources(f"{site}/apt"), " " * 6).strip(),
    }
    out.mkdir(parents=True)
    for template in sorted(TEMPLATES.iterdir()):
        text = template.read_text(encoding="utf-8")
        for name, value in values.items():
            text = text.replace(name, value)
        (out / template.name).write_text(text, encoding="utf-8")
    unknown = {"url": "", "extract_size": 0, "extract_sha256": "", "image_download_size": 0, "release_date": ""}
    entry = {**unknown, **described(version, repository)}
    entry["description"] = f"{UNVERIFIED}. {entry['description']}"
    _write_manifest(entry, out / MANIFEST)


def described(version: str, repository: str) -> dict[str, Any]:
    """Return what does not depend on the image."""
    return {
        "name": f"fmd {version}",
        "description": "Face-mask detection at a doorway, on Raspberry Pi OS Lite (64-bit)",
        "icon": f"{address.site(repository)}/icon.svg",
        "website": address.site(repository),
        "devices": BOARDS,
        "init_format": "cloudinit-rpi",
        "architecture": "armv8",
    }


def of_image(image: Path, url: str, version: str, repository: str, released: date) -> dict[str, Any]:
    """Return the entry of a compressed image (.img.xz); raises ReleaseError if it cannot be unpacked."""
    try:
        with lzma.open(image) as unpacked:
            size, digest = _measure(unpacked)
    except (lzma.LZMAError, EOFError) as error:
        raise ReleaseError(f"{image}: not a complete .img.xz ({error}); make one with: xz -T0 fmd.img") from error
    with image.open("rb") as packed:
        packed_size, packed_digest = _measure(packed)
    return {
        **described(version, repository),
        "url": url,
        "release_date": released.isoformat(),
        "extract_size": size,
        "extract_sha256": digest,
        "image_download_size": packed_size,
        "image_download_sha256": packed_digest,
    }


def debian_version(version: str) -> str:
    """Return a version as Debian writes it."""
    changelog = runpy.run_path(str(address.ROOT / "debian/changelog.py"))
    return str(changelog["debian_version"](version))


def _measure(file: BinaryIO | lzma.LZMAFile) -> tuple[int, str]:
    """Return bytes and sha256 of an open file."""
    size, digest = 0, hashlib.sha256()
    while chunk := file.read(CHUNK):
        size += len(chunk)
        digest.update(chunk)
    return size, digest.hexdigest()


def _write_manifest(entry: dict[str, Any], out: Path) -> None:
    out.write_text(json.dumps({"os_list": [entry]}, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Write the manifest of the image that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m release.images", description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path, help="compressed image, .img.xz")
    parser.add_argument("--url", required=True, help="where the image will be downloaded from")
    parser.add_argument("--version", required=True, help="version of fmd in the image")
    parser.add_argument("--out", type=Path, default=Path(MANIFEST))
    options = parser.parse_args()

    def work() -> int:
        today = datetime.now(timezone.utc).date()
        _write_manifest(of_image(options.image, options.url, options.version, address.address(), today), options.out)
        return EXIT_OK

    return exit_code_of(work)


if __name__ == "__main__":
    sys.exit(main())

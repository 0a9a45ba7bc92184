"""``make release``: the steps of a release in order, with their progress."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from edge.errors import EXIT_OK, exit_code_of
from release import images, notes, packages, python, sbom, signing, site
from release.address import ROOT
from release.errors import ReleaseError
from release.refusals import Release, permitted
from release.shell import run

SUMS = "SHA256SUMS"


Step = tuple[str, Callable[[], object]]
"""What a step makes, and the function that makes it."""


def run_steps(steps: Sequence[Step], clock: Callable[[], float] = time.monotonic) -> None:
    """Run steps in order; print each one's number when it begins, and its seconds when it ends."""
    for number, (what, make) in enumerate(steps, 1):
        print(f"[{number}/{len(steps)}] {what} ...", end=" ", flush=True)
        started_s = clock()
        try:
            make()
        except BaseException:
            print("failed", flush=True)
            raise
        print(f"{clock() - started_s:.0f} s", flush=True)


def steps_of(release: Release, out: Path, earlier: Sequence[Path]) -> list[Step]:
    """Return the steps that make a release into ``out``; ``earlier`` are packages that the repository keeps."""
    root, version, address = release.root, release.version, release.address
    return [
        ("wheel and source distribution", lambda: python.distributions(root, out, version)),
        ("the wheel in an empty environment plays the demo", lambda: python.try_wheel(wheel_in(out), version)),
        *(
            (f"Debian package for {architecture}", partial(packages.build, release, architecture, out))
            for architecture in packages.ARCHITECTURES
        ),
        ("SBOM of each package", lambda: write_sboms(release, out)),
        ("signed apt repository", lambda: packages.repository(release, debs_in(out), earlier, out / "apt")),
        ("documentation site", lambda: site.build(out / "site", version, address, root)),
        ("templates of card images (unverified)", lambda: images.write(out / "images", version, address)),
        ("release notes, checksums, signature", lambda: finish(release, out)),
    ]


def wheel_in(out: Path) -> Path:
    """Return the wheel of the release."""
    return next(out.glob("fmd_edge-*.whl"))


def debs_in(out: Path) -> list[Path]:
    """Return the Debian packages of the release."""
    return sorted(out.glob("fmd_*.deb"))


def write_sboms(release: Release, out: Path) -> None:
    """Write an SBOM beside each Debian package."""
    for deb in debs_in(out):
        text = sbom.of_package(deb, release.version, date_of(release.root))
        deb.with_suffix(".cdx.json").write_text(text, encoding="utf-8")


def finish(release: Release, out: Path) -> None:
    """Write notes, public key, and the signed sums of everything that is attached."""
    text = notes.notes(release.root, release.version, release.address, release.key)
    (out / "NOTES.md").write_text(text, encoding="utf-8")
    signing.public_key(release.key, out / "fmd.asc")
    write_sums(out)
    signing.sign(out / SUMS, release.key, out / f"{SUMS}.asc")


def date_of(root: Path) -> datetime:
    """Return when the released commit was made."""
    return datetime.fromtimestamp(int(run(["git", "log", "-1", "--format=%ct"], root)), timezone.utc)


def write_sums(out: Path) -> None:
    """Write the sums of the files directly in ``out``, in the format of sha256sum: those that are attached."""
    files = sorted(path for path in out.iterdir() if path.is_file() and path.name != SUMS)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (out / SUMS).write_text("".join(lines), encoding="utf-8")


def empty(out: Path) -> None:
    """Make ``out`` an empty folder; raises ReleaseError rather than delete what is no release."""
    if out.exists() and any(out.iterdir()) and not (out / SUMS).is_file() and not list(out.glob("fmd*")):
        raise ReleaseError(f"{out}: not empty and not a release; name another folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)


def main() -> int:
    """Make the release of this checkout."""
    parser = argparse.ArgumentParser(prog="make release", description="Make a release of a clean, tagged checkout.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder of the release (default: dist)")
    parser.add_argument("--earlier", type=Path, metavar="FOLDER", help="packages that the apt repository keeps")
    options = parser.parse_args()
    out = options.out.resolve()

    def work() -> int:
        release = permitted(ROOT)
        earlier = packages.earlier_packages(options.earlier, release.version)
        print(f"fmd {release.version}, signed by {release.key}, for {release.address}")
        empty(out)
        started_s = time.monotonic()
        run_steps(steps_of(release, out, earlier))
        print(f'{out} after {time.monotonic() - started_s:.0f} s; next: CONTRIBUTING.md, "Make a release"')
        return EXIT_OK

    return exit_code_of(work)


if __name__ == "__main__":
    sys.exit(main())

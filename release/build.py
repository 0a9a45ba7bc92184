"""``make release``: the steps of a release in order, with their progress."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from edge.errors import EXIT_OK, exit_code_of
from release import images, notes, packages, python, sbom, signing, site
from release.address import ROOT
from release.errors import ReleaseError
from release.refusals import Release, permitted
from release.shell import run

SUMS = "SHA256SUMS"


class Progress:
    """Numbered steps, each printed when it begins and with its seconds when it ends."""

    def __init__(self, steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._steps, self._clock = steps, clock
        self._done = 0

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Print ``what`` before the block, and the seconds that the block took after it."""
        self._done += 1
        print(f"[{self._done}/{self._steps}] {what} ...", end=" ", flush=True)
        started_s = self._clock()
        try:
            yield
        except BaseException:
            print("failed", flush=True)
            raise
        print(f"{self._clock() - started_s:.0f} s", flush=True)


def make(release: Release, out: Path, earlier: Sequence[Path], progress: Progress) -> None:
    """Make the release into ``out``, an empty folder; ``earlier`` are packages that the repository keeps."""
    root, version, date = release.root, release.version, date_of(release.root)
    with progress.step("wheel and source distribution"):
        wheel, _ = python.distributions(root, out, version)
    with progress.step("the wheel in an empty environment plays the demo"):
        python.try_wheel(wheel, version)
    debs = []
    for architecture in packages.ARCHITECTURES:
        with progress.step(f"Debian package for {architecture}"):
            debs.append(packages.build(release, architecture, out))
    with progress.step("SBOM of each package"):
        for deb in debs:
            deb.with_suffix(".cdx.json").write_text(sbom.of_package(deb, version, date), encoding="utf-8")
    with progress.step("signed apt repository"):
        packages.repository(release, debs, earlier, out / "apt")
    with progress.step("documentation site"):
        site.build(out / "site", version, release.address, root)
    with progress.step("templates of card images (unverified)"):
        images.write(out / "images", version, release.address)
    with progress.step("release notes, checksums, signature"):
        (out / "NOTES.md").write_text(notes.notes(root, version, release.address, release.key), encoding="utf-8")
        signing.public_key(release.key, out / "fmd.asc")
        write_sums(out)
        signing.sign(out / SUMS, release.key, out / f"{SUMS}.asc")


STEPS = 7 + len(packages.ARCHITECTURES)


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

    def work() -> int:
        release = permitted(ROOT)
        earlier = packages.earlier_packages(options.earlier, release.version)
        print(f"fmd {release.version}, signed by {release.key}, for {release.address}")
        empty(options.out)
        started_s = time.monotonic()
        make(release, options.out, earlier, Progress(STEPS))
        print(f'{options.out} after {time.monotonic() - started_s:.0f} s; next: CONTRIBUTING.md, "Make a release"')
        return EXIT_OK

    return exit_code_of(work)


if __name__ == "__main__":
    sys.exit(main())

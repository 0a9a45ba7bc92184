#!/usr/bin/python3
"""Download the wheels of the package, with exact versions and hashes, so that a board needs no network.

    debian/wheelhouse.py --arch arm64 --pythons 3.11,3.13 --out build/wheels [--licences FOLDER] [--lock]

``--licences`` writes the licence texts of all wheels, and a list of them, for /usr/share/doc/fmd. A wheel without a
licence text, or under the GPL, is an error. ``systemd/constraints.txt`` states the versions, ``debian/wheels.sha256``
the hashes; ``--lock`` rewrites the hashes.
pip evaluates environment markers for the Python that runs it, not for ``--python-version``. Therefore this script
evaluates them, and requests each wheel by its exact version, without dependencies. It then checks the wheels' metadata
for missing dependencies.
"""

from __future__ import annotations

import argparse
import email.parser
import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS, HASHES = ROOT / "systemd/constraints.txt", ROOT / "debian/wheels.sha256"
MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}
"""Debian's name of an architecture -> the kernel's name, which wheels use."""
LICENCE = re.compile(r"licen[cs]e|copying|notice|^e[dp]l-v", re.IGNORECASE)
"""Names of files with the text of a licence."""
GLIBC = range(17, 36)
"""Minor versions of glibc 2 that wheels may require: Ubuntu 22.04, the oldest supported system, has 2.35."""


def pinned(python: str, machine: str) -> list[Requirement]:
    """Return the constraints that apply to this Python on this machine."""
    lines = (line.partition("#")[0].strip() for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines())
    environment = environment_of(python, machine)
    return [
        requirement
        for requirement in map(Requirement, filter(None, lines))
        if requirement.marker is None or requirement.marker.evaluate(environment)
    ]


def environment_of(python: str, machine: str) -> dict[str, str]:
    """Return the values of environment markers on the board."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def fetch(python: str, machine: str, out: Path) -> None:
    """Download the wheels for one Python into ``out``, except those that are there already."""
    wanted = [f"{r.name}{r.specifier}" for r in pinned(python, machine) if not there(r, python, machine, out)]
    if not wanted:
        return
    options = [f"--platform={platform}" for platform in platforms(machine) if platform != "any"]
    options += ["--implementation=cp", f"--python-version={python}", "--only-binary=:all:", "--no-deps"]
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *options]
    subprocess.run([*download, "--dest", str(out), *wanted], check=True)


def platforms(machine: str) -> list[str]:
    """Return the platforms whose wheels run on the board, the newest glibc first."""
    return [*(f"manylinux_2_{minor}_{machine}" for minor in reversed(GLIBC)), f"manylinux2014_{machine}", "any"]


def there(requirement: Requirement, python: str, machine: str, out: Path) -> bool:
    """Return whether ``out`` has a wheel for this requirement that fits this Python."""
    version = tuple(map(int, python.split(".")))
    fitting = {
        *cpython_tags(version, platforms=platforms(machine)),
        *compatible_tags(version, f"cp{version[0]}{version[1]}", platforms(machine)),
    }
    for wheel in out.glob("*.whl"):
        name, found, _, tags = parse_wheel_filename(wheel.name)
        if name == canonicalize_name(requirement.name) and requirement.specifier.contains(found) and tags & fitting:
            return True
    return False


def missing(python: str, machine: str, out: Path) -> Iterator[str]:
    """Yield a message for each dependency of the wheels in ``out`` without a constraint, for one Python."""
    environment = environment_of(python, machine)
    pins = {canonicalize_name(requirement.name) for requirement in pinned(python, machine)}
    for wheel in sorted(out.glob("*.whl")):
        for text in metadata_of(wheel).get_all("Requires-Dist", []):
            needed = Requirement(text)
            counts = needed.marker is None or needed.marker.evaluate(environment)
            if counts and canonicalize_name(needed.name) not in pins:
                yield f"{wheel.name} needs {needed} on Python {python}: name a version in {CONSTRAINTS.name}"


def prune(pythons: list[str], machine: str, out: Path) -> None:
    """Delete the wheels in ``out`` that no constraint names any more."""
    pins = {(canonicalize_name(r.name), str(r.specifier)) for python in pythons for r in pinned(python, machine)}
    for wheel in out.glob("*.whl"):
        name, version, *_ = parse_wheel_filename(wheel.name)
        if (name, f"=={version}") not in pins:
            wheel.unlink()


def metadata_of(wheel: Path) -> email.message.Message:
    """Return the metadata of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(archive.read(name).decode())


def licence_texts(wheel: Path) -> dict[str, bytes]:
    """Return the licence texts in a wheel by file name; for Apache-2.0 without a text, the standard one."""
    found = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            _, _, file = name.partition(".dist-info/")
            if file and LICENCE.search(file.rpartition("/")[2]) and not name.endswith("/"):
                found[file.removeprefix("licenses/").replace("/", "_")] = archive.read(name)
    if not found and "apache" in licence_of(wheel).lower():
        found["LICENSE"] = (ROOT / "LICENSE").read_bytes()
    return found


def licence_of(wheel: Path) -> str:
    """Return the name of a wheel's licence, as its metadata state it."""
    metadata = metadata_of(wheel)
    classifiers = [c.rpartition("::")[2].strip() for c in metadata.get_all("Classifier", []) if c.startswith("License")]
    stated = metadata.get("License-Expression") or ", ".join(classifiers) or (metadata.get("License") or "")
    return " ".join(stated.split("\n")[0].split())


def write_licences(wheels: Path, out: Path) -> Iterator[str]:
    """Write texts and list into ``out``; yield a message for each wheel that the package may not contain."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    lines = set()
    for wheel in sorted(wheels.glob("*.whl")):
        name, version, *_ = parse_wheel_filename(wheel.name)
        licence, texts = licence_of(wheel), licence_texts(wheel)
        if not texts:
            yield f"{wheel.name}: no licence text in it (it states {licence or 'nothing'}); name a library that has one"
        if re.search(r"(?<![L])GPL|General Public License", re.sub(r"Lesser General Public License", "", licence)):
            yield f"{wheel.name}: under {licence}, which the package may not contain"
        for file, text in texts.items():
            (out / f"{name}-{version}").mkdir(exist_ok=True)
            (out / f"{name}-{version}" / file).write_bytes(text)
        lines.add(f"{name} {version}: {licence or 'see its text'} ({', '.join(sorted(texts))})")
    (out / "LIST").write_text("".join(f"{line}\n" for line in sorted(lines)), encoding="utf-8")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def locked() -> dict[str, str]:
    """Return file name -> sha256, from a file in the format of ``sha256sum``."""
    if not HASHES.exists():
        return {}
    return {name: digest for digest, name in (line.split() for line in HASHES.read_text().splitlines())}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=MACHINES, required=True, help="Debian's name of the board's architecture")
    parser.add_argument("--pythons", required=True, help="Python versions, as in 3.11,3.13")
    parser.add_argument("--out", type=Path, required=True, help="folder for the wheels")
    parser.add_argument("--licences", type=Path, metavar="FOLDER", help="folder for the licence texts")
    parser.add_argument("--lock", action="store_true", help="write the hashes of the wheels instead of checking them")
    arguments = parser.parse_args()
    machine, out, pythons = MACHINES[arguments.arch], arguments.out, arguments.pythons.split(",")
    out.mkdir(parents=True, exist_ok=True)
    prune(pythons, machine, out)
    for python in pythons:
        fetch(python, machine, out)
    wrong = [line for python in pythons for line in missing(python, machine, out)]
    found = {path.name: sha256(path) for path in sorted(out.glob("*.whl"))}
    if arguments.lock:
        known = sorted({**locked(), **found}.items())
        HASHES.write_text("".join(f"{digest}  {name}\n" for name, digest in known))
    wrong += [f"{name}: its hash differs from {HASHES.name}" for name in found if locked().get(name) != found[name]]
    if arguments.licences is not None and not wrong:
        wrong += write_licences(out, arguments.licences)
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""The wheel contains all code and data: what setup.cfg does not name is missing on a board, and in no checkout."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from tests.edge.parts import ROOT

INSTALLED = ("edge", "converter", "training")


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg", encoding="utf-8")
    return parsed


def files() -> set[str]:
    """Return all files of the packages; an unpacked archive has no git to list them."""
    found = (path for package in INSTALLED for path in (ROOT / package).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts}


def elsewhere(setup: configparser.ConfigParser) -> list[str]:
    """Return the packages whose folder has another name."""
    return [line.split("=")[0].strip() for line in setup["options"]["package_dir"].splitlines() if line.strip()]


def test_every_package_is_installed(setup: configparser.ConfigParser) -> None:
    packages = {str(Path(file).parent).replace("/", ".") for file in files() if file.endswith(".py")}
    # Folders outside the packages, installed into them, have data only.
    assert set(setup["options"]["packages"].split()) - set(elsewhere(setup)) == packages


def test_every_file_of_data_is_installed(setup: configparser.ConfigParser) -> None:
    patterns = {
        package.replace(".", "/"): [
            pattern.strip() for pattern in value.replace("\n", ",").split(",") if pattern.strip()
        ]
        for package, value in setup["options.package_data"].items()
    }
    installed = {
        path.relative_to(ROOT).as_posix()
        for folder, globs in patterns.items()
        for pattern in globs
        for path in (ROOT / folder).glob(pattern)
    }
    assert {name for name in files() if not name.endswith(".py")} - installed == set()

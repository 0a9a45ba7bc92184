"""The wheel contains all code and data: what setup.cfg does not name is missing on a board, and in no checkout."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from release.shell import run
from tests.edge.parts import ROOT

INSTALLED = ("edge", "converter", "training")


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg", encoding="utf-8")
    return parsed


def test_every_package_is_installed(setup: configparser.ConfigParser) -> None:
    files = run(["git", "ls-files", "--", *INSTALLED], ROOT).split()
    packages = {str(Path(file).parent).replace("/", ".") for file in files if file.endswith(".py")}
    assert set(setup["options"]["packages"].split()) - {"edge.shipped"} == packages


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
    data = {name for name in run(["git", "ls-files", "--", *INSTALLED], ROOT).split() if not name.endswith(".py")}
    assert data - installed == set()

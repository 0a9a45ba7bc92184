"""The workflows follow GitHub's schema, and name what exists here."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path
from typing import Any

import check_jsonschema
import pytest
import yaml
from click.testing import CliRunner

from release.boards import BOARDS
from release.refusals import PACKAGES
from tests.edge.parts import ROOT

FOLDER = ROOT / ".github/workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
EVERY_WORKFLOW = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def jobs() -> dict[str, dict[str, Any]]:
    return dict(read(FOLDER / "tests.yml")["jobs"])


def test_all_follow_githubs_schema_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text((FOLDER / "pages.yml").read_text(encoding="utf-8").replace("runs-on:", "run-on:"))
    files = [str(path) for path in (*WORKFLOWS, wrong)]
    # In this process: a new one would load the schemas' syntax for seconds.
    command = ["--builtin-schema", "vendor.github-workflows", "--output-format=json", *files]
    errors = json.loads(CliRunner().invoke(check_jsonschema.main, command).output)["errors"]
    assert {error["filename"] for error in errors} == {str(wrong)}, errors


@EVERY_WORKFLOW
def test_every_target_of_make_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z -]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    known = {name for target in targets for name in target.split()}
    assert set(re.findall(r"\bmake ([a-z-]+)", path.read_text(encoding="utf-8"))) <= known


@EVERY_WORKFLOW
def test_every_job_has_a_time_limit_and_few_rights(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] <= 60, name


def test_all_supported_pythons_are_tested() -> None:
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg")
    supported = re.findall(r"Python :: (3\.\d+)$", parsed["metadata"]["classifiers"], re.MULTILINE)
    assert jobs()["tests"]["strategy"]["matrix"]["python"] == supported


@pytest.mark.parametrize("board", BOARDS)
def test_a_board_is_tested_only_where_a_runner_has_its_label(board: str) -> None:
    assert jobs()[board]["if"] == f"needs.boards.outputs.{board} == 'true'"
    assert jobs()[board]["with"] == {"label": board}
    assert jobs()["boards"]["outputs"][board] == f"${{{{ steps.online.outputs.{board} }}}}"


@pytest.mark.parametrize("name", ["tests.yml", "release.yml"])
def test_a_job_that_builds_the_package_installs_what_that_needs(name: str) -> None:
    """debian/control and docs/install.md state the same packages."""
    control = (ROOT / "debian/control").read_text(encoding="utf-8").partition("\n\n")[0]
    needed = set(re.findall(r"^ (python3-[a-z-]+)", control.partition("Build-Depends:")[2], re.MULTILINE))
    needed |= {"build-essential", "debhelper"}
    if name == "release.yml":
        needed |= set(PACKAGES.values())
    for page in (FOLDER / name, ROOT / "docs/install.md")[: 1 if name == "release.yml" else 2]:
        words = set(re.findall(r"[a-z0-9-]+", page.read_text(encoding="utf-8")))
        assert needed - words == set(), page

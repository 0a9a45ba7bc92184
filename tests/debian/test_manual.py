"""Manual pages: one for each command, with all of its options, and nothing that man cannot show."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edge.commands.main import COMMANDS, make_parser
from tests.debian import scripts
from tests.edge.parts import ROOT


@pytest.fixture(scope="module")
def manual() -> ModuleType:
    return scripts.load("manual")


@pytest.fixture(scope="module")
def pages(manual: ModuleType) -> dict[str, str]:
    parser = make_parser()
    parser.load()
    return {each.prog: manual.page(each, "1.2.3") for each in manual.all_parsers(parser)}


def test_every_command_and_subcommand_has_a_page(pages: dict[str, str]) -> None:
    subcommands = {f"fmd model {what}" for what in ("install", "list", "rollback")}
    subcommands |= {f"fmd examples {what}" for what in ("export", "learn")}
    subcommands |= {f"fmd page {what}" for what in ("password", "certificate")}
    assert set(pages) == {"fmd", *(f"fmd {command.name}" for command in COMMANDS), *subcommands}


def test_every_page_says_what_its_command_does(pages: dict[str, str]) -> None:
    """Without a sentence after the name, `man -k` and `whatis` do not find the page."""
    assert [name for name, page in pages.items() if not re.search(r"^\.SH NAME\n\S+ \\- \w", page, re.MULTILINE)] == []


def test_a_page_documents_every_option_of_its_command(pages: dict[str, str], manual: ModuleType) -> None:
    parser = make_parser()
    parser.load()
    for each in manual.all_parsers(parser):
        page = pages[each.prog].replace("\\-", "-")
        listed = set(re.findall(r"^\\fB(?:-h\\fR, \\fB)?(--[a-z-]+)\\fR", page, re.MULTILINE))
        assert listed == set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", each.format_help(), re.MULTILINE)), each.prog
        assert {"--help"} <= listed


def test_text_cannot_become_a_request(manual: ModuleType) -> None:
    assert manual.roff(".sh rm\n'quoted'\nA-B \\x") == "\\&.sh rm\n\\&'quoted'\nA\\-B \\ex"


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_man_shows_every_page_without_a_warning(pages: dict[str, str], tmp_path: Path) -> None:
    for prog, page in pages.items():
        path = tmp_path / f"{prog.replace(' ', '-')}.1"
        path.write_text(page, encoding="utf-8")
        found = subprocess.run(
            ["man", "--warnings", "-E", "UTF-8", "-l", path], capture_output=True, text=True, check=True
        )
        assert found.stderr == ""
        assert "EXIT STATUS" in found.stdout


def test_the_build_writes_pages_and_completion_without_the_large_libraries(tmp_path: Path) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed")
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in ("numpy", "cv2", "msgspec"):
        (blocked / f"{name}.py").write_text("raise ImportError('the build machine has none')\n")
    subprocess.run(
        [sys.executable, ROOT / "debian/manual.py", "1.2.3", tmp_path / "out"],
        check=True,
        env={"PYTHONPATH": str(blocked), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert '"fmd 1.2.3"' in (tmp_path / "out/man/fmd-model-install.1").read_text()
    assert "--print-completion" in (tmp_path / "out/completion/bash").read_text()
    assert (tmp_path / "out/completion/zsh").read_text().startswith("#compdef fmd")

"""Everything that the pages name exists: files, headings, settings, commands, options, messages, import rules."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from edge.commands import main
from edge.config import DEFAULT_PATH, load
from tests.edge.parts import PATIENCE_S, ROOT
from tests.edge.test_imports import ALLOWED, BOTTOM

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
EVERY_PAGE = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.name if page.parent == ROOT else f"docs/{page.name}"
)
ALL_PAGES = [
    *PAGES,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "systemd/README.md",
    ROOT / "fleet/README.md",
    ROOT / "tests/machine/README.md",
    *sorted((ROOT / "models").glob("*.md")),
]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


@EVERY_PAGE
def test_every_setting_named_exists(page: Path) -> None:
    settings = load()
    sections = list(settings.__struct_fields__)
    named = re.findall(rf"`({'|'.join(sections)})\.(?!tflite)([a-z_]+)(?=[` =])", page.read_text(encoding="utf-8"))
    assert [f"{section}.{key}" for section, key in named if not hasattr(getattr(settings, section), key)] == []


@EVERY_PAGE
def test_every_setting_given_without_its_section_exists(page: Path) -> None:
    keys = {"version", *re.findall(r"^([a-z_]+) = ", DEFAULT_PATH.read_text(encoding="utf-8"), re.MULTILINE)}
    named = re.findall(r"`([a-z_]+) = [^`]+`", page.read_text(encoding="utf-8"))
    assert [key for key in named if key not in keys] == []


@EVERY_PAGE
def test_every_command_and_option_shown_is_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    helps: dict[str, str] = {}
    wrong = []
    for command, rest in re.findall(r"(?<![\w-])fmd ([a-z]+)((?: [^`\n|]*)?)", "\n".join(code(page))):
        if command not in helps:
            helps[command] = help_of(command, capsys)
        options = set(re.findall(r"--[a-z-]+", rest)) - {"--verbose"}  # every command takes it, no help lists it
        wrong += [f"{command} {option}" for option in options if option not in helps[command]]
    assert wrong == []


def code(page: Path) -> list[str]:
    """Return the page's code: the lines of fenced blocks, and everything between backticks."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^ *```[a-z]*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [line for block in fenced for line in block.splitlines()] + re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the help of a command."""
    with pytest.raises(SystemExit) as ended:
        main.main([command, "--help"])
    assert ended.value.code == 0, f"fmd {command} does not exist"
    return capsys.readouterr().out


def test_every_quoted_message_exists() -> None:
    """Each quote is a part of a message; the text between two quotes of a row varies."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \| ", page.partition("## Messages")[2], re.MULTILINE)
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "edge").rglob("*.py"))
    source = re.sub(r'"\n\s+f?"', "", source)  # messages over several lines
    theirs = {"numpy.dtype size changed"}  # NumPy's message
    quoted = [words for row in rows for words in re.findall(r"`([^`]+)`", row)]
    assert len(quoted) > 15
    assert [words for words in quoted if words not in source and words not in theirs] == []


def test_contributing_states_the_import_rules_of_the_import_test() -> None:
    section = (
        (ROOT / "CONTRIBUTING.md")
        .read_text(encoding="utf-8")
        .partition("## What may import what")[2]
        .partition("\n## ")[0]
    )
    rows = re.findall(r"^\| `([a-z_]+)(?:/|\.py)` \| (.*) \|$", section, re.MULTILINE)
    stated = {package: set(re.findall(r"`([a-z_]+)`", others)) for package, others in rows}
    assert stated == {package: set(others - BOTTOM) for package, others in ALLOWED.items()}
    bottom = re.search(r"^\| bottom layer: (.*) \| each other \|$", section, re.MULTILINE)
    assert bottom is not None
    assert set(re.findall(r"`([a-z_]+)`", bottom[1])) == BOTTOM


def test_architecture_names_every_package_of_edge() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    packages = [path.parent.name for path in (ROOT / "edge").glob("*/__init__.py")]
    assert [name for name in packages if f"`{name}/`" not in page] == []


def test_every_attack_that_the_security_page_names_has_its_test() -> None:
    page = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:tests|simulation)/[a-z_/]+\.py)`", page))
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("target", ["demo", "page", "test"])
def test_make_says_how_much_it_downloads_before_pip_is_silent(target: str, tmp_path: Path) -> None:
    command = ["make", "--dry-run", f"VENV={tmp_path}", target]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    [said] = (number for number, line in enumerate(lines) if "MB to download" in line)
    assert "pip install" in lines[said + 1]
    shown = subprocess.run(["sh", "-c", lines[said]], capture_output=True, text=True, check=True).stdout
    megabytes, minutes = map(int, re.findall(r"about (\d+) MB to download, (\d+) minutes at 10 Mbit/s", shown)[0])
    assert 0 < minutes - megabytes * 8 / 10 / 60 <= 1
    if target == "demo":
        assert f"downloads {megabytes} MB" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_ctrl_c_ends_make_page_without_an_error_of_make(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    fmd = "#!/bin/sh\ntrap 'exit 130' INT\necho ready\nwhile :; do sleep 0.01; done\n"
    for name, text in (("bin/python", ""), ("bin/fmd", fmd), (".page", "")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    command = ["make", f"VENV={tmp_path}", "page"]
    # Under make test, the variables of that make would let this one print its directory.
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    with subprocess.Popen(
        command, cwd=ROOT, env=plain, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.communicate(timeout=PATIENCE_S)[1] == ""

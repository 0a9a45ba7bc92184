"""Which package may import which: the layers of edge, checked in the source. CONTRIBUTING states the same rules."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge
from edge.commands.main import COMMANDS, Command
from tests.edge.parts import ROOT, fmd

EDGE = ROOT / "edge"
MODULES = sorted(info.name for info in pkgutil.walk_packages(edge.__path__, "edge."))
BOTTOM = frozenset(
    {
        "addresses",
        "board",
        "certificates",
        "child",
        "config",
        "config_checks",
        "confine",
        "contracts",
        "control",
        "errors",
        "faults",
        "files",
    }
    | {
        "messages",
        "migrate",
        "overlay",
        "page_messages",
        "paths",
        "process",
        "reading",
        "redaction",
        "sections",
        "state_file",
        "text",
        "toml",
    }
    | {"version", "weekly"}
)
"""Modules directly in edge/ that everything may import, and that import only each other."""
ALLOWED: dict[str, frozenset[str]] = {
    "inference": BOTTOM,
    "stages": BOTTOM | {"inference"},
    "camera": BOTTOM,
    "drivers": BOTTOM | {"inference"},
    "settings": BOTTOM | {"drivers"},
    "pipeline": BOTTOM | {"inference", "stages"},
    "reporting": BOTTOM | {"inference", "stages", "drivers", "record"},
    "record": BOTTOM | {"inference", "stages"},
    # Of reporting the service knows the interface of listeners; the test below enforces it.
    "service": BOTTOM | {"inference", "stages", "camera", "drivers", "pipeline", "reporting", "settings"},
    "doctor": BOTTOM | {"inference", "stages", "camera", "drivers", "reporting", "service"},
    "backup": BOTTOM | {"inference", "drivers", "record", "service"},
    "flash": BOTTOM | {"inference", "drivers"},
    "hub": BOTTOM | {"flash"},
    "api": BOTTOM | {"drivers", "reporting", "service"},
    "page": BOTTOM | {"drivers"},
    "__main__": BOTTOM,
    "page_service": BOTTOM
    | {"inference", "stages", "drivers", "reporting", "record", "service", "doctor", "settings"}
    | {"backup"},
    "commands": BOTTOM
    | {
        "inference",
        "stages",
        "camera",
        "drivers",
        "pipeline",
        "reporting",
        "record",
        "service",
        "doctor",
        "flash",
        "hub",
        "backup",
        "page",
        "page_service",
    }
    | {"api", "settings"},
}
"""Package (or module) of edge -> what it may import of edge beside itself."""
HARDWARE = {
    "picamera2",
    "gpiozero",
    "lgpio",
    "gpiod",
    "Jetson",
    "ai_edge_litert",
    "tflite_runtime",
    "tensorflow",
    "onnxruntime",
    "paho",
    "prometheus_client",
    "apprise",
}
BLOCK = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "converter", "training"):
            raise ImportError(f"{name} is not for the edge")

sys.meta_path.insert(0, Blocked())
for name in sys.argv[1:]:
    importlib.import_module(name)
print("all imported")
"""


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or anywhere below."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(path: Path) -> str:
    """Package (or module) directly in edge/ that a file belongs to."""
    return path.relative_to(EDGE).parts[0].removesuffix(".py")


def parts_imported(path: Path) -> set[str]:
    """Packages and modules directly in edge/ that a file imports, other than its own."""
    names = {name.split(".")[1] for name in imported(path) if name.startswith("edge.")}
    return {name for name in names if (EDGE / name).is_dir() or (EDGE / f"{name}.py").is_file()} - {part_of(path)}


FILES = sorted(path for path in EDGE.rglob("*.py") if path != EDGE / "__init__.py")


def test_every_module_of_edge_imports_without_tensorflow_keras_converter_and_training() -> None:
    found = subprocess.run(
        [sys.executable, "-c", BLOCK, *MODULES], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (found.stdout, found.stderr) == ("all imported\n", "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(EDGE)))
def test_a_file_imports_only_what_the_layer_of_its_package_allows(path: Path) -> None:
    part = part_of(path)
    allowed = BOTTOM if part in BOTTOM else ALLOWED[part]
    assert parts_imported(path) - allowed == set()


def test_the_packages_of_edge_form_no_cycle() -> None:
    arrows: dict[str, set[str]] = {}
    for path in FILES:
        arrows.setdefault(part_of(path), set()).update(parts_imported(path))
    left = dict(arrows)
    while left:
        leaves = [part for part, needs in left.items() if not needs & left.keys()]
        assert leaves, f"a cycle among {sorted(left)}"
        for part in leaves:
            del left[part]


@pytest.mark.parametrize("path", sorted((EDGE / "stages").glob("*.py")), ids=lambda path: path.stem)
def test_no_stage_imports_another(path: Path) -> None:
    assert [name for name in imported(path) if name.startswith("edge.stages.")] == []


@pytest.mark.parametrize("path", sorted((EDGE / "service").glob("*.py")), ids=lambda path: path.stem)
def test_the_service_knows_listeners_and_nothing_else_of_reporting(path: Path) -> None:
    modules = {name for name in imported(path) if name.startswith("edge.reporting.")}
    assert {".".join(name.split(".")[:3]) for name in modules} <= {"edge.reporting.listener"}


@pytest.mark.parametrize(
    "path", [path for path in FILES if part_of(path) != "drivers"], ids=lambda path: str(path.relative_to(EDGE))
)
def test_hardware_is_imported_by_drivers_alone(path: Path) -> None:
    assert [name for name in imported(path) if name.split(".")[0] in HARDWARE] == []


LOADED = "import sys; print(*(set(sys.modules) & {'cv2', 'numpy', 'msgspec', 'ai_edge_litert'}))"


TOP_LEVEL = {
    "edge": frozenset[str](),
    "converter": frozenset({"edge"}),
    "training": frozenset({"edge", "converter"}),
    "simulation": frozenset({"edge", "converter", "training"}),
    "bench": frozenset({"edge", "converter", "training", "simulation"}),
    "release": frozenset({"edge"}),
}
"""Top-level package -> the others that it may import. None imports tests."""


@pytest.mark.parametrize("package", TOP_LEVEL)
def test_a_top_level_package_imports_only_those_below_it(package: str) -> None:
    others = {*TOP_LEVEL, "tests", "docs"} - {package}
    for path in sorted((ROOT / package).rglob("*.py")):
        assert {name.split(".")[0] for name in imported(path)} & others <= TOP_LEVEL[package], path


def test_help_is_quick_because_it_loads_no_command() -> None:
    code = (
        "import edge.commands.main as main; main.make_parser().format_help(); import sys; print(*sorted(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    ours = [name for name in found.stdout.split() if name.startswith("edge")]
    assert ours == [
        "edge",
        "edge.commands",
        "edge.commands.common",
        "edge.commands.logs",
        "edge.commands.main",
        "edge.commands.parsing",
        "edge.errors",
        "edge.files",
        "edge.process",
        "edge.redaction",
        "edge.text",
        "edge.version",
    ]
    assert fmd("--help").returncode == 0


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_options_are_known_without_the_large_libraries(command: Command) -> None:
    code = f"import argparse, edge.commands.{command.module} as one; one.add_options(argparse.ArgumentParser()); "
    found = subprocess.run([sys.executable, "-c", code + LOADED], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (found.stdout, found.stderr) == ("\n", "")

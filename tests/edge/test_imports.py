"""What may import what. The arrows of the house, held by reading the source."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge
from tests.edge.parts import ROOT, fmd

EDGE = ROOT / "edge"
STAGES = ["capture", "watch", "detect", "track", "classify", "decide", "alert"]
MODULES = sorted(info.name for info in pkgutil.walk_packages(edge.__path__, "edge."))
HARDWARE = {
    "picamera2",
    "gpiozero",
    "lgpio",
    "gpiod",
    "Jetson",
    "ai_edge_litert",
    "tflite_runtime",
    "tensorflow",
    "paho",
    "prometheus_client",
    "apprise",
}
BLOCK = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "converter"):
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


def test_every_module_of_edge_imports_without_tensorflow_keras_and_converter() -> None:
    found = subprocess.run(
        [sys.executable, "-c", BLOCK, *MODULES], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (found.stdout, found.stderr) == ("all imported\n", "")


@pytest.mark.parametrize("stage", [*STAGES, "contracts", "bundle", "config", "errors", "pipeline", "sight"])
def test_no_stage_imports_a_driver_or_what_wires_them(stage: str) -> None:
    wiring = ("edge.drivers", "edge.service", "edge.live", "edge.pulse", "edge.world", "edge.cli", "edge.commands")
    assert [name for name in imported(EDGE / f"{stage}.py") if name.startswith(wiring)] == []


@pytest.mark.parametrize("path", sorted((EDGE / "drivers").glob("*.py")), ids=lambda path: path.stem)
def test_no_driver_imports_a_stage(path: Path) -> None:
    stages = tuple(f"edge.{name}" for name in [*STAGES, "pipeline", "service", "live", "cli", "commands", "bundle"])
    assert [name for name in imported(path) if name.startswith(stages)] == []


@pytest.mark.parametrize("path", sorted(EDGE.glob("*.py")), ids=lambda path: path.stem)
def test_hardware_is_imported_by_drivers_alone(path: Path) -> None:
    assert [name for name in imported(path) if name.split(".")[0] in HARDWARE] == []


@pytest.mark.parametrize("stage", STAGES)
def test_stages_know_contracts_and_settings_and_not_each_other(stage: str) -> None:
    known = ("edge.contracts", "edge.config", "edge.errors", "edge.bundle", "edge.pixels", "edge.sight")
    assert [n for n in imported(EDGE / f"{stage}.py") if n.startswith("edge.") and not n.startswith(known)] == []


def test_help_is_quick_because_it_loads_nothing_large() -> None:
    code = "import sys, edge.cli; print(*(set(sys.modules) & {'cv2', 'numpy', 'msgspec', 'ai_edge_litert'}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (found.stdout, found.stderr) == ("\n", "")
    assert fmd("--help").returncode == 0

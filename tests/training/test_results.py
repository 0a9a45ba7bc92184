"""Results are whole, or what was there before, however their writing ends."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.edge.parts import ROOT
from training import results

WRITERS = {"write_text", "write_bytes", "save", "savefig", "savez", "imwrite"}
"""Names of functions that write a file."""


class CutError(Exception):
    """The end of a run in the middle of a file."""


def cut_rows() -> Iterator[tuple[int, int]]:
    yield 1, 2
    raise CutError


def cut_file(path: Path) -> None:
    with results.replacing(path) as unfinished:
        assert unfinished.suffix == path.suffix  # Keras and matplotlib choose the format by it
        unfinished.write_bytes(b"half of")
        raise CutError


@pytest.mark.parametrize("write", [cut_file, lambda path: results.write_csv(path, ("a", "b"), cut_rows())])
@pytest.mark.parametrize("before", [b"the old one", None])
def test_an_error_leaves_what_was_there(tmp_path: Path, write: Callable[[Path], None], before: bytes | None) -> None:
    path = tmp_path / "best.keras"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(CutError):
        write(path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == (
        {} if before is None else {"best.keras": before}
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    results.write_csv(tmp_path / "a.csv", ("a", "b"), [(1, "x,y")])
    assert (tmp_path / "a.csv").read_text() == 'a,b\n1,"x,y"\n'
    results.write_json(tmp_path / "a.json", {"a": 1})
    assert (tmp_path / "a.json").read_text() == '{\n "a": 1\n}\n'
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "a.json"]


@pytest.mark.parametrize(
    "module", sorted((ROOT / "training").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_result_is_written_by_these_functions(module: Path) -> None:
    """Other files are appended to or read; a path called ``unfinished`` is one of :func:`replacing`."""
    if module.name == "results.py":
        return
    for call in (node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        words = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
        if (name in WRITERS and "results." not in ast.unparse(call.func)) or (name == "open" and "w" in words):
            assert "unfinished" in ast.unparse(call), f"{module}:{call.lineno}"

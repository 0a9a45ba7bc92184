"""Paths: on a board, under systemd, installed, and in a checkout."""

from __future__ import annotations

import re
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import pytest

from edge import config, paths
from tests.edge.parts import ROOT


def test_the_settings_that_name_files_are_those_that_say_so() -> None:
    defaults = config.load()
    named = {f"{section}.{key}" for section, keys in paths.FILE_SETTINGS.items() for key in keys}
    assert {key: attrgetter(key)(defaults) for key in named} == dict.fromkeys(named, "")
    ends = {f"{one}.{key}" for one in defaults.__struct_fields__ for key in getattr(defaults, one).__struct_fields__}
    assert {key for key in ends if re.search("[._](file|font)$", key)} <= named


@pytest.mark.parametrize(
    ("value", "found"), [("/run/fmd", "/run/fmd"), ("/run/fmd:/run/other", "/run/fmd"), ("", None), (None, None)]
)
def test_systemd_names_the_runtime_and_the_state_directory(
    monkeypatch: pytest.MonkeyPatch, value: str | None, found: str | None
) -> None:
    for variable, folder in (
        ("RUNTIME_DIRECTORY", paths.runtime_folder),
        ("STATE_DIRECTORY", paths.state_folder),
    ):
        monkeypatch.delenv(variable, raising=False)
        if value is not None:
            monkeypatch.setenv(variable, value)
        assert folder() == (Path(found) if found else None)


@pytest.mark.parametrize("task", list(paths.SHIPPED_MODELS))
def test_a_checkout_has_its_models_beside_the_package(task: str) -> None:
    assert paths.shipped_model(task).parent == ROOT / "models"
    assert paths.shipped_model(task).is_file()


def test_an_installed_fmd_has_its_models_inside_the_package(tmp_path: Path) -> None:
    """Also beside a project with a folder ``models`` of its own, which must not hide them."""
    (tmp_path / "site" / "edge" / "shipped").mkdir(parents=True)
    (tmp_path / "site" / "edge" / "__init__.py").touch()
    (tmp_path / "site" / "edge" / "paths.py").write_bytes(Path(paths.__file__).read_bytes())
    (tmp_path / "project" / "models").mkdir(parents=True)
    (tmp_path / "project" / "models" / "__init__.py").touch()
    code = "from edge import paths; print(paths.shipped_model('detector'))"
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path / "project",
    )
    assert found.stdout.strip() == str(tmp_path / "site" / "edge" / "shipped" / "face_detector.tflite")


def test_the_shipped_sound_is_there() -> None:
    assert paths.SHIPPED_SOUND.is_file()

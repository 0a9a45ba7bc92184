"""The Python API: names at hand without a wait, examples that run, and what ``fmd predict`` says as well."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

import edge
from edge import FmdError, api, example_picture, open_predictor, read_picture
from edge.inference import bundle
from tests.edge.parts import ROOT, fmd

README = ROOT / "README.md"


def need_portrait() -> None:
    pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")


def test_importing_edge_loads_nothing_large_and_the_names_are_there() -> None:
    code = "import edge, sys; print(*(set(sys.modules) & {'numpy', 'cv2', 'edge.api'}), edge.Predictor.__name__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (found.stdout.split(), found.stderr) == (["Predictor"], "")


def test_every_public_name_is_listed_and_others_are_refused() -> None:
    assert set(edge.__all__) == set(api.__all__) <= set(dir(edge))
    assert all(getattr(edge, name) is getattr(api, name) for name in edge.__all__)
    with pytest.raises(AttributeError, match="no attribute 'predictor'"):
        edge.predictor  # noqa: B018


def test_the_documented_example_runs() -> None:
    need_portrait()
    found = doctest.testmod(api, report=True)
    assert (found.failed, found.attempted > 0) == (0, True)


def test_the_example_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    need_portrait()
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if "from edge import" in block]
    save(tmp_path / "door.jpg", masked=True)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(README), "exec"), {})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Box(")
    assert " with_mask {'with_mask': 0.9" in line


def save(path: Path, masked: bool) -> Path:
    cv2.imwrite(str(path), example_picture(masked)[:, :, ::-1])
    return path


def test_the_command_says_what_the_api_says(tmp_path: Path) -> None:
    """A picture read in another colour order, or handed over differently, would show in the probabilities."""
    need_portrait()
    path = save(tmp_path / "door.png", masked=False)
    (face,) = open_predictor().predict(read_picture(path))
    found = fmd("predict", path, "--json")
    (said,) = json.loads(found.stdout)["faces"]
    assert said["label"] == face.label == "without_mask"
    assert said["box"] == [round(v, 1) for v in face.box]
    assert list(said["probabilities"].values()) == [round(p, 4) for p in face.probabilities.values()]
    np.testing.assert_array_equal(read_picture(path), example_picture())


def test_another_model_comes_from_settings_or_their_file(tmp_path: Path, classifier_path: Path) -> None:
    loaded = bundle.unpack(classifier_path)
    contract = msgspec.structs.replace(
        loaded.contract, labels=tuple("abcd"), compliant="a", background="d", confusion=None
    )
    model = tmp_path / "abc.tflite"
    model.write_bytes(bundle.pack(loaded.flatbuffer, contract, loaded.golden))
    settings = tmp_path / "fmd.toml"
    settings.write_text(f'[model]\nclassifier = "{model}"\n')
    assert open_predictor(settings).labels == ("a", "b", "c")
    assert open_predictor(str(settings)).labels == ("a", "b", "c")
    assert open_predictor(settings={"model.classifier": str(model)}).labels == ("a", "b", "c")
    with pytest.raises(FmdError, match=r"nowhere\.toml: cannot read the settings"):
        open_predictor("nowhere.toml")

"""A selection of the corpus that takes seconds: what strangers give the command, and what it makes of it.

The whole corpus is a command of its own: ``python -m tests.corpus``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the converter needs TensorFlow: pip install '.[convert]'")
pytest.importorskip("tf_keras", reason="Keras 2: pip install '.[convert]'")

from converter.cli import main
from tests.corpus import evaluate, kinds, pictures

NOT_MODELS = [
    name for name, kind in kinds.KINDS.items() if not kind.readable and name in (
        "PyTorch .pt", "PyTorch old .pth", "ONNX", "pickle", "joblib", "frozen graph", "TensorFlow.js",
        "Teachable Machine zip", "Teachable Machine .tflite", "Git LFS pointer", "HTML", "Python source", "empty",
    )
]  # fmt: skip
TRAINED = ["Sequential .h5", "SavedModel of a subclass", "no InputLayer"]


@pytest.mark.parametrize("name", NOT_MODELS)
def test_what_is_no_model_is_named_with_the_next_step(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kind = kinds.KINDS[name]
    made = kind.make(tmp_path, kind.net, [])
    capfd.readouterr()
    assert main([str(made.path), "-o", str(tmp_path / "m.tflite")], isolated=False) == 1
    said = capfd.readouterr().err
    assert kind.says in said
    assert evaluate.NEXT_STEP.search(said)
    assert not (tmp_path / "m.tflite").exists()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three kinds around one network, trained for some seconds."""
    if not (pictures.DATA / "classify" / "split.csv").is_file():
        pytest.skip(f"needs the data sets: {pictures.DATA}/classify is missing ($FMD_DATA)")
    cache = tmp_path_factory.mktemp("corpus")
    for name in TRAINED:
        kinds.build(name, kinds.KINDS[name], cache, cache / "kinds")
    return cache


@pytest.mark.data
@pytest.mark.parametrize("name", TRAINED)
def test_a_file_made_with_pictures_answers_as_its_author_intends(name: str, cache: Path) -> None:
    evaluate.convert_all([name], ["pictures"], cache, again=False)
    found = evaluate.judged(name, "pictures", cache)
    assert found["outcome"] == "right", found
    assert found["now"] >= 0.85


@pytest.mark.data
def test_the_judge_notices_swapped_labels_and_lost_accuracy(cache: Path) -> None:
    """The comparison must be able to fail: answers of the original with its labels swapped are wrong."""
    kind = kinds.KINDS[TRAINED[0]]
    kept = np.load(cache / "kinds" / TRAINED[0] / "expected.npz")
    said = evaluate.original(kind, kept["answers"])
    swapped = evaluate.original(kind, kept["answers"][:, ::-1])
    assert evaluate.right(said, kept["kinds"]) > 0.85
    assert evaluate.right(swapped, kept["kinds"]) < 0.15

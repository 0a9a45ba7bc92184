"""A card from a run's files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed; pip install '.[train]'")

from edge.errors import DataError
from edge.inference.bundle import Contract, InputSpec, pack, sha256
from training import card, tracking

SCORES = {
    "title": "boxes, test",
    "figures": {"faces": 4.0, "recall": 0.75, "right_side": 0.5, "badly_worn_caught": 0.5},
    "by_width": {"24-40 px": {"faces": 2.0, "recall": 0.5, "right_side": 0.5}, "40-80 px": {}},
}


@pytest.fixture
def sources(tmp_path: Path) -> card.Sources:
    run = tmp_path / "run"
    logger = tracking.CsvLogger(run)
    logger.start("run", {})
    logger.log(1, {"loss": 1.0, "mean_recall": 0.5, "seconds": 9.0})
    logger.log(2, {"loss": 0.5, "mean_recall": 0.75, "seconds": 9.0})
    told = {"command": "fmd-train classifier --seed 7", "recipe": {"seed": 7}, "versions": {"keras": "3.15.1"}}
    (run / tracking.RUN_NAME).write_text(json.dumps(told), encoding="utf-8")
    golden = {"inputs": np.zeros((1, 96, 96, 3), np.uint8), "output_0": np.zeros((1, 2), np.float32)}
    flatbuffer = b"\0\0\0\0TFL3 not much of a model"
    contract = Contract(
        format=1, task="classifier", name="mask-96", sha256=sha256(flatbuffer), source_sha256=sha256(b"keras"),
        quantization="int8",
        reason="the smallest that agrees", versions={"fmd": "0.1.0"}, parity={}, labels=("with_mask", "without_mask"),
        compliant="with_mask", input=InputSpec(height=96, width=96, scale=1.0, offset=0.0),
    )  # fmt: skip
    (tmp_path / "mask.tflite").write_bytes(pack(flatbuffer, contract, golden))
    (tmp_path / "mask.keras").write_bytes(b"keras")
    (tmp_path / "scores.json").write_text(json.dumps(SCORES), encoding="utf-8")
    (tmp_path / "notes.md").write_text("## Data\n\nDrawn.\n", encoding="utf-8")
    return card.Sources(
        tmp_path / "mask.tflite",
        tmp_path / "mask.keras",
        run,
        [tmp_path / "scores.json"],
        tmp_path / "notes.md",
        "",
    )  # fmt: skip


def test_everything_a_reader_needs_is_on_the_card(sources: card.Sources, tmp_path: Path) -> None:
    card.write(sources, tmp_path / "mask.md")
    text = (tmp_path / "mask.md").read_text(encoding="utf-8")
    for words in (
        "# mask-96",
        sha256((tmp_path / "mask.keras").read_bytes()),
        "fmd-train classifier --seed 7",
        "Seed 7. keras 3.15.1.",
        "2 epochs",
        "![loss and validation figures by epoch](mask-curve.png)",
        "## Scores: boxes, test",
        "| right side | 0.500 | 0.500 |  |",
        "Faces 24-40 px wide: 50% of 2 end on the right side, 50% are found.",
        "Badly worn masks: 50% are caught.",
        "## Data",
    ):
        assert words in text
    assert (tmp_path / "mask-curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_numbers_of_the_first_table_stand_beside_the_card(sources: card.Sources, tmp_path: Path) -> None:
    card.write(sources, tmp_path / "mask.md")
    numbers = json.loads((tmp_path / "mask-scores.json").read_text(encoding="utf-8"))
    assert numbers == {key: SCORES[key] for key in ("title", "figures", "by_width")}


def test_scores_of_folders_have_no_numbers_by_width(tmp_path: Path) -> None:
    card.write_numbers([{"title": "folders"}], tmp_path / "mask.md")
    assert not (tmp_path / "mask-scores.json").exists()


def test_a_run_without_a_record_needs_its_command(sources: card.Sources, tmp_path: Path) -> None:
    (sources.run / tracking.RUN_NAME).unlink()
    with pytest.raises(DataError, match="--command"):
        card.write(sources, tmp_path / "mask.md")


def test_another_models_source(sources: card.Sources, tmp_path: Path) -> None:
    sources.keras.write_bytes(b"another")
    with pytest.raises(DataError, match="is not what"):
        card.write(sources, tmp_path / "mask.md")


def test_a_run_without_a_curve(sources: card.Sources, tmp_path: Path) -> None:
    (sources.run / tracking.CURVE_NAME).unlink()
    with pytest.raises(DataError, match=r"holds no curve\.csv"):
        card.write(sources, tmp_path / "mask.md")


@pytest.mark.parametrize(("text", "words"), [("{", "not JSON"), ("[1]", "got a list, expected an object")])
def test_scores_that_are_none(sources: card.Sources, tmp_path: Path, text: str, words: str) -> None:
    sources.scores[0].write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        card.write(sources, tmp_path / "mask.md")

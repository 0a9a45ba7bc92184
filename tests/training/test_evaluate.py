"""Evaluation from the boxes to the files it writes, with models that see what is drawn."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed; pip install '.[train]'")

from converter import tables
from edge.contracts import Box, Floats, Stored, TensorSpec
from edge.errors import DataError
from edge.inference.bundle import Bundle, Contract, InputSpec, Model
from training import data, evaluate, score
from training.score import Predicted

LABELS = ("with_mask", "without_mask", "with_incorrect_mask")


class Looker:
    """An interpreter whose answer is a plain function of the (height, width, 3) picture it is given."""

    runtime = "drawn 1.0"

    def __init__(self, size: int, answer: Callable[..., list[Floats]], outputs: Sequence[tuple[int, ...]]) -> None:
        self._answer = answer
        self.input = TensorSpec("pixels", (1, size, size, 3), np.dtype(np.uint8), 1.0, 0)
        self.outputs = tuple(TensorSpec(f"{i}", shape, np.dtype(np.float32), 0.0, 0) for i, shape in enumerate(outputs))

    def run(self, tensor: npt.NDArray[np.generic]) -> Sequence[Stored]:
        return self._answer(np.asarray(tensor[0]))


def model(
    task: str, size: int, answer: Callable[..., list[Floats]], outputs: Sequence[tuple[int, ...]], **contract: object
) -> Model:
    spec = InputSpec(height=size, width=size, scale=1.0, offset=0.0)
    promise = Contract(
        format=1, task=task, name="drawn", input=spec, sha256="", source_sha256="", quantization="none", reason="",
        versions={}, parity={}, **contract,
    )  # fmt: skip
    return Model(Bundle(b"", promise, {}), Looker(size, answer, outputs), "drawn")


def blue_from(enough: float) -> Callable[[npt.NDArray[np.uint8]], list[Floats]]:
    """A mask where at least ``enough`` of the lower half is blue, a bare face where next to nothing is."""

    def answer(crop: npt.NDArray[np.uint8]) -> list[Floats]:
        lower = crop[crop.shape[0] // 2 :].astype(int)
        share = float(((lower[..., 2] - lower[..., 0]) > 60).mean())
        masked, bare = float(share >= enough), float(share < 0.05)
        return [np.array([[masked, bare, 1 - masked - bare]], np.float32)]

    return answer


def skin_or_blue(picture: npt.NDArray[np.uint8]) -> list[Floats]:
    """Faces as blobs of colour on the grey wall, told as a detector of stride 8 tells them."""
    spread = picture.max(axis=2).astype(int) - picture.min(axis=2)
    _, _, stats, _ = cv2.connectedComponentsWithStats((spread > 50).astype(np.uint8))
    side = picture.shape[0] // 8
    scores, boxes = np.zeros((side, side), np.float32), np.zeros((side, side, 4), np.float32)
    for x, y, width, height, area in stats[1:]:
        if area < 80:
            continue
        column, row = int((x + width / 2) // 8), int((y + height / 2) // 8)
        at_x, at_y = column * 8 + 4, row * 8 + 4
        scores[row, column] = 0.9
        reach = np.array([at_x - x, at_y - y, x + width - at_x, y + height - at_y]) / 8
        boxes[row, column] = np.log(np.maximum(reach, 0.05))
    return [scores.reshape(1, -1, 1), boxes.reshape(1, -1, 4)]


@pytest.fixture
def detector() -> Model:
    return model("detector", 160, skin_or_blue, [(1, 400, 1), (1, 400, 4)], output="anchor-free", strides=(8,))


@pytest.fixture
def classifier() -> Model:
    return model("classifier", 48, blue_from(0.6), [(1, 3)], labels=LABELS, compliant="with_mask")


@pytest.fixture
def whole_classifier() -> Model:
    """As ``classifier``, for pictures that are more than a face."""
    return model("classifier", 48, blue_from(0.1), [(1, 3)], labels=LABELS, compliant="with_mask")


@pytest.fixture
def tests(boxes_table: Path) -> list[tables.Picture]:
    return data.of_split(tables.read_boxes(boxes_table), "test")


def test_models_that_see_are_scored_well(
    tests: list[tables.Picture], detector: Model, classifier: Model, tmp_path: Path
) -> None:
    labelled = evaluate.predict(tests, detector, classifier, 0.2)
    scores = evaluate.evaluate_boxes(tests, evaluate.labelled_from(labelled, 0.45), 0.45, tmp_path)
    assert scores["figures"]["faces"] == 16
    assert scores["figures"]["recall"] == 1.0
    assert scores["figures"]["right_side"] == 1.0
    assert scores["by_width"]["24-40 px"]["faces"] == scores["by_width"]["40-80 px"]["faces"] == 8
    assert {path.name for path in tmp_path.iterdir()} == {
        "precision-recall.png", "confusion.png", "mistakes.png", "mistakes.csv",
    }  # fmt: skip


def test_the_written_table_gives_the_same_figures(
    tests: list[tables.Picture], detector: Model, classifier: Model, tmp_path: Path
) -> None:
    predicted = evaluate.labelled_from(evaluate.predict(tests, detector, classifier, 0.2), 0.95)
    evaluate.write_predictions(predicted, tmp_path / "p.csv")
    again = evaluate.read_predictions(tmp_path / "p.csv")
    truth = {picture.name: picture.faces for picture in tests}
    assert score.summary(score.match(truth, again)) == score.summary(score.match(truth, predicted))
    assert {guess.label for guesses in again.values() for guess in guesses} == {""}


def test_the_sweep_shows_what_a_higher_bar_costs(tests: list[tables.Picture]) -> None:
    truth = {picture.name: picture.faces for picture in tests}
    predicted = {
        picture.name: [Predicted(face.box, 0.5, face.label) for face in picture.faces] for picture in tests
    }  # fmt: skip
    rows = {row["start_score"]: row["right_side"] for row in evaluate.sweep(truth, predicted)}
    assert rows[0.5] == 1.0
    assert rows[0.55] == 0.0


def test_mistakes_are_told_worst_first(tests: list[tables.Picture], tmp_path: Path) -> None:
    picture = tests[0]  # a bare face of 30 pixels, a badly worn mask of 60
    assert [face.label for face in picture.faces] == ["without_mask", "with_incorrect_mask"]
    guesses = [
        Predicted(picture.faces[0].box, 0.6, "with_mask"),
        Predicted(Box(0, 90, 30, 120), 0.8, "without_mask"),
    ]
    found = evaluate.box_mistakes([picture], score.match({picture.name: picture.faces}, {picture.name: guesses}))
    assert [(m.kind, m.true, m.said) for m in found] == [
        ("on no face", "nobody", "without_mask"),
        ("wrong side", "without_mask", "with_mask"),
        ("missed", "with_incorrect_mask", "not found"),
    ]
    evaluate.write_mistakes(found, tmp_path)
    with (tmp_path / "mistakes.csv").open(encoding="utf-8") as handle:
        assert [row["kind"] for row in csv.DictReader(handle)] == ["on no face", "wrong side", "missed"]
    sheet = cv2.imread(str(tmp_path / "mistakes.png"))
    assert sheet is not None
    assert sheet.shape[1] == 8 * 160


def test_a_detector_alone_is_not_blamed_for_labels(tests: list[tables.Picture]) -> None:
    truth = {picture.name: picture.faces for picture in tests}
    predicted = {picture.name: [Predicted(face.box, 0.9) for face in picture.faces] for picture in tests}
    assert evaluate.box_mistakes(tests, score.match(truth, predicted)) == []


def test_confusion_counts_the_missed_and_the_made_up(tests: list[tables.Picture]) -> None:
    picture = tests[0]
    guesses = [Predicted(picture.faces[0].box, 0.9, "without_mask"), Predicted(Box(0, 90, 30, 120), 0.5, "with_mask")]
    labels, matrix = evaluate.door_confusion(
        score.match({picture.name: picture.faces}, {picture.name: guesses})
    )  # fmt: skip
    assert labels == ["with_incorrect_mask", "with_mask", "without_mask"]
    assert matrix.tolist() == [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]


def test_predictions_of_other_pictures_are_told(tests: list[tables.Picture], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"got other\.jpg, expected such as 016\.png"):
        evaluate.evaluate_boxes(tests, {"other.jpg": []}, 0.45, tmp_path)


@pytest.mark.parametrize("text", ["image,xmin\na,1\n", "image,xmin,ymin,xmax,ymax,score,label\na,1,2,3,x,1,\n"])
def test_bad_predictions(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"p\.csv:2: not a prediction"):
        evaluate.read_predictions(tmp_path / "p.csv")
    with pytest.raises(DataError, match="cannot read this table"):
        evaluate.read_predictions(tmp_path / "none.csv")


def test_class_folders_whole_and_shrunk(class_folders: Path, whole_classifier: Model, tmp_path: Path) -> None:
    pictures = data.of_split(tables.read_folders(class_folders), "test")
    scores = evaluate.evaluate_folders(pictures, whole_classifier, tmp_path)
    assert set(scores["folders"]) == {"whole", "shrunk to 96 px", "shrunk to 64 px"}
    whole = scores["folders"]["whole"]
    assert whole["accuracy"] == whole["right_side"] == 1.0
    assert [row["support"] for row in whole["classes"]] == [6, 6]
    told = json.loads(evaluate.write_scores(scores, tmp_path).read_text(encoding="utf-8"))
    assert told["images"] == 12
    assert "accuracy 1.0000" in evaluate.report(scores)


def test_a_badly_worn_mask_is_on_the_bare_side(class_folders: Path) -> None:
    pictures = data.of_split(tables.read_folders(class_folders), "test")
    said = np.tile(np.array([0.1, 0.3, 0.6], np.float32), (12, 1))
    found = evaluate.folder_scores(pictures, said, LABELS, "with_mask")
    assert (found["accuracy_of_all_labels"], found["right_side"]) == (0.0, 0.5)
    assert found["accuracy"] == 0.5  # of the two labels the folders have it says bare every time


def test_folders_the_classifier_does_not_know(class_folders: Path, tmp_path: Path) -> None:
    stranger = model("classifier", 48, blue_from(0.6), [(1, 3)], labels=("a", "b", "c"), compliant="a")
    with pytest.raises(DataError, match="knows a, b, c, not with_mask, without_mask"):
        evaluate.evaluate_folders(tables.read_folders(class_folders), stranger, tmp_path)


def test_thinned_keeps_the_end() -> None:
    points = [score.CurvePoint(i / 1000, 1.0, 1 - i / 1000) for i in range(1000)]
    thin = evaluate.thinned(points)
    assert len(thin) == 200
    assert thin[-1] == points[-1]


def test_the_report_has_a_column_a_band(tests: list[tables.Picture], tmp_path: Path) -> None:
    scores = evaluate.evaluate_boxes(tests, {tests[0].name: []}, 0.45, tmp_path)
    lines = evaluate.report(scores).splitlines()
    assert lines[0].split("  ")[-1].strip() == "160+ px"
    assert any(line.startswith("violations_caught") and line.endswith("-") for line in lines)
    assert any(line.startswith("recall ") and "0.0000" in line for line in lines)


@pytest.mark.data
def test_the_shared_boxes_are_read_as_described(shared_data: Path) -> None:
    pictures = data.of_split(tables.read_boxes(shared_data / "boxes" / "boxes.csv"), "test")
    truth = {picture.name: picture.faces for picture in pictures}
    perfect = {name: [Predicted(face.box, 1.0, face.label) for face in faces] for name, faces in truth.items()}
    found = score.summary(score.match(truth, perfect))
    assert (len(pictures), found["faces"], found["right_side"]) == (223, 442, 1.0)

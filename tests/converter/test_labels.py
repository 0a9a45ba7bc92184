"""What outputs are called, which of them is fine, which must not be missed, and which is no face at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converter.calibrate import Pictures
from converter.labels import Asked, Labels, dangerous_of, find_labels, read_labels
from converter.load import Source, load
from edge.errors import ConversionError

UNLABELLED = Pictures(np.zeros((4, 32, 32, 3), np.uint8), ("",) * 4, ("",) * 4)


@pytest.fixture(scope="module")
def source(softmax_keras: Path) -> Source:
    return load(softmax_keras)


def found(source: Source, *names: str, compliant: str = "", background: str = "") -> Labels:
    answers = np.full((4, len(names)), 1 / len(names), np.float32)
    return find_labels(source, Asked(names, compliant, background), UNLABELLED, answers)


def test_what_is_no_face_is_known_by_its_name_and_told_to_be_a_guess(source: Source) -> None:
    labels = found(source, "not_a_face", "with_mask", "without_mask")
    assert (labels.background, labels.background_guessed) == ("not_a_face", True)
    assert (labels.compliant, labels.dangerous) == ("with_mask", "without_mask")
    assert found(source, "with_mask", "without_mask").background is None


def test_what_is_no_face_may_be_said(source: Source) -> None:
    labels = found(source, "with_mask", "wall", "without_mask", background="wall")
    assert (labels.background, labels.background_guessed) == ("wall", False)


@pytest.mark.parametrize(
    ("names", "compliant", "background", "said"),
    [
        (("with_mask", "wall", "without_mask"), "", "sky", "--background sky: not among the labels"),
        (("with_mask", "wall"), "", "wall", "expected 2 or more"),
        (("with_mask", "wall", "without_mask"), "wall", "wall", "--compliant wall: not among the labels"),
    ],
)
def test_a_background_that_cannot_be(
    source: Source, names: tuple[str, ...], compliant: str, background: str, said: str
) -> None:
    with pytest.raises(ConversionError, match=said):
        found(source, *names, compliant=compliant, background=background)


@pytest.mark.parametrize(
    ("worn", "compliant", "dangerous"),
    [
        (("with_mask", "with_incorrect_mask", "without_mask"), "with_mask", "without_mask"),
        (("incorrect", "mask", "No-Mask"), "mask", "No-Mask"),
        (("mask", "chin", "nose"), "mask", "chin"),
    ],
)
def test_the_bare_face_is_the_one_not_to_be_missed(worn: tuple[str, ...], compliant: str, dangerous: str) -> None:
    assert dangerous_of(worn, compliant) == dangerous


@pytest.mark.parametrize(
    "text",
    ["\ufeffwith_mask\r\nwithout_mask\r\n", "0 with_mask\n1 without_mask", '\ufeff["with_mask", "without_mask"]'],
)
def test_names_are_read_as_editors_write_them(tmp_path: Path, text: str) -> None:
    file = tmp_path / ("labels.json" if "[" in text else "labels.txt")
    file.write_bytes(text.encode())
    assert read_labels(file) == ("with_mask", "without_mask")

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from edge.contracts import Box, Face, Stored, TensorSpec
from edge.errors import BundleError
from edge.inference.bundle import Bundle, Model
from edge.stages.detect import (
    PAD_VALUE,
    FaceDetector,
    cell_centres,
    decode,
    faces_among,
    letterbox,
    mirrored_cells,
    reach_of,
)
from tests.edge.parts import StubInterpreter, contract, detector_answers, detector_of, face, frame_of, texture


class Quantized(StubInterpreter):
    """An interpreter that stores its scores, the second of its outputs, in steps of 1/256."""

    def __init__(self, answers: Sequence[Stored], zero_point: int) -> None:
        super().__init__(answers)
        boxes, scores = super().outputs
        self._outputs = boxes, scores._replace(dtype=answers[1].dtype, scale=1 / 256, zero_point=zero_point)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._outputs


class Turns(StubInterpreter):
    """An interpreter that answers in turn, as for a picture and its mirror image."""

    def __init__(self, answers: Sequence[Stored], second: Sequence[Stored]) -> None:
        super().__init__(answers)
        self._second = second

    def run(self, tensor: npt.NDArray[np.generic]) -> Sequence[Stored]:
        answers = super().run(tensor)
        return self._second if len(self.seen) % 2 == 0 else answers


def test_a_wide_picture_is_letterboxed_between_grey_bars() -> None:
    fitted, fit = letterbox(np.full((120, 240, 3), 200, np.uint8), 64, 64)
    assert fit == (64 / 240, 0, 16)
    assert (fitted[:16] == PAD_VALUE).all()
    assert (fitted[16:48] == 200).all()
    assert (fitted[48:] == PAD_VALUE).all()


def test_a_small_tall_picture_is_enlarged() -> None:
    fitted, fit = letterbox(np.full((32, 16, 3), 200, np.uint8), 64, 64)
    assert fit == (2.0, 16, 0)
    assert (fitted[:, 16:48] == 200).all()
    assert (fitted[:, :16] == PAD_VALUE).all()


def test_a_picture_fitted_over_another_of_its_shape_gives_the_same_result() -> None:
    for shape in ((30, 90), (90, 30), (64, 64)):
        kept, _ = letterbox(texture(*shape), 64, 64)
        backwards = texture(*shape)[::-1, :, ::-1]
        found, _ = letterbox(backwards, 64, 64, kept)
        assert found is kept
        np.testing.assert_array_equal(found, letterbox(backwards.copy(), 64, 64)[0])


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (1, 1)])
def test_pictures_of_extreme_shape_still_fit(shape: tuple[int, int]) -> None:
    fitted, _ = letterbox(np.zeros((*shape, 3), np.uint8), 64, 64)
    assert fitted.shape == (64, 64, 3)


def test_cells_come_stride_by_stride_row_by_row() -> None:
    centres, strides = cell_centres(16, 24, (8, 16))
    assert centres.tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12], [8, 8], [24, 8]]
    assert strides.tolist() == [8] * 6 + [16] * 2


def test_decoding_by_hand() -> None:
    # 1 stride to the left and top, 2 to the right, half a stride down.
    reaches = np.array([[1, 1, 2, 0.5]], np.float32)
    boxes = decode(reaches, np.array([[20, 36]], np.float32), np.array([8], np.float32))
    np.testing.assert_allclose(boxes, [[12, 28, 36, 40]])


def test_distances_are_logarithms_and_those_of_a_broken_model_do_not_overflow() -> None:
    np.testing.assert_allclose(reach_of(np.log(np.array([1, 0.5, 30], np.float32))), [1, 0.5, 30], rtol=1e-6)
    assert np.isfinite(reach_of(np.array([1e6, np.inf], np.float32))).all()


def test_suppression_keeps_the_best_of_a_pile_and_all_boxes_beside_it() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [4, 0, 14, 10]], np.float32)
    scores = np.array([0.8, 0.9, 0.3, 0.7], np.float32)
    # IoU with the best box (1): box 0 has 9 / 11, box 3 has 7 / 13.
    assert [box.xmin for box, _ in faces_among(boxes, scores, 0.6)] == [1, 4, 20]
    assert [box.xmin for box, _ in faces_among(boxes, scores, 0.5)] == [1, 20]
    assert faces_among(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5) == []


def test_the_score_of_a_face_falls_with_its_overlap_with_a_better_one() -> None:
    # The second overlaps the first by a third, the third overlaps none.
    boxes = np.array([[0, 0, 16, 16], [8, 0, 24, 16], [40, 0, 56, 16]], np.float32)
    found = faces_among(boxes, np.array([0.9, 0.6, 0.5], np.float32), 0.45)
    assert [box.xmin for box, _ in found] == [0, 40, 8]
    assert [score for _, score in found] == pytest.approx([0.9, 0.5, 0.6 * (1 - 1 / 3)])


def test_faces_are_returned_in_full_frame_pixels() -> None:
    # 128 x 256 into 64 x 64: a quarter of the size, 16 rows of grey on top.
    (found,) = detector_of([face(20, 28, 12)]).detect(frame_of(texture(128, 256)))
    np.testing.assert_allclose(found.box, (56, 24, 104, 72), atol=1e-3)
    assert found.score == pytest.approx(0.9)


def test_pictures_may_change_shape_from_frame_to_frame() -> None:
    answers = StubInterpreter(detector_answers([face(20, 28, 12)]))
    detector = FaceDetector(Model(Bundle(b"", contract("detector"), {}), answers, "stub"), 0.2)
    for shape in ((64, 64), (64, 128), (128, 64)):
        detector.detect(frame_of(texture(*shape)))
        np.testing.assert_array_equal(answers.seen[-1][0], letterbox(texture(*shape), 64, 64)[0])


@pytest.mark.parametrize(("dtype", "zero_point"), [(np.uint8, 0), (np.int8, -128)])
def test_scores_are_compared_as_stored(dtype: type[np.generic], zero_point: int) -> None:
    """One of 51/256 is too low for 0.2, one of 52/256 is not."""
    boxes, scores = detector_answers([face(12, 12, 8), face(44, 44, 8)])
    stored = np.full(scores.shape, zero_point, dtype)
    stored[scores > 0] = [51 + zero_point, 52 + zero_point]
    interpreter = Quantized([boxes, stored], zero_point)
    detector = FaceDetector(Model(Bundle(b"", contract("detector"), {}), interpreter, "stub"), 0.2)
    (found,) = detector.detect(frame_of(texture(64, 64)))
    assert found.score == pytest.approx(52 / 256)
    np.testing.assert_allclose(found.box, (40, 40, 48, 48), atol=1e-3)


def test_faces_are_clipped_to_the_frame() -> None:
    (found,) = detector_of([face(4, 4, 20)]).detect(frame_of(texture(64, 64)))
    np.testing.assert_allclose(found.box, (0, 0, 14, 14), atol=1e-3)


def test_a_face_wholly_in_the_grey_bar_is_dropped() -> None:
    assert detector_of([face(30, 4, 6)]).detect(frame_of(texture(64, 256))) == ()


def test_faces_are_returned_best_first_and_not_below_the_lowest_score() -> None:
    detector = detector_of([face(12, 12, 8, 0.5), face(44, 44, 8, 0.7), face(44, 12, 8, 0.1)])
    assert [round(f.score, 2) for f in detector.detect(frame_of(texture(64, 64)))] == [0.7, 0.5]


def test_output_order_does_not_matter() -> None:
    answers = detector_answers([face(20, 20, 12)])[::-1]
    detector = FaceDetector(Model(Bundle(b"", contract("detector"), {}), StubInterpreter(answers), "stub"), 0.2)
    (found,) = detector.detect(frame_of(texture(64, 64)))
    np.testing.assert_allclose(found.box, Box(14, 14, 26, 26), atol=1e-3)


def test_a_picture_full_of_candidates_gives_a_bounded_number_of_faces() -> None:
    boxes, scores = detector_answers([])
    answers = [boxes - 3, np.full_like(scores, 0.9)]  # a tiny face in every cell
    model = Model(Bundle(b"", contract("detector"), {}), StubInterpreter(answers), "stub")
    assert len(FaceDetector(model, 0.2, max_faces=5).detect(frame_of(texture(640, 640)))) == 5


def twice_of(plain: Sequence[Face], mirrored: Sequence[Face]) -> tuple[FaceDetector, Turns]:
    """Return a detector that finds ``plain`` in a picture and ``mirrored`` in its mirror image, and its interpreter."""
    turns = Turns(detector_answers(plain), second=detector_answers(mirrored))
    return FaceDetector(Model(Bundle(b"", contract("detector"), {}), turns, "stub"), 0.2, mirrored=True), turns


def test_the_second_inference_is_on_the_mirrored_picture() -> None:
    detector, turns = twice_of([], [])
    picture = texture(64, 48)
    assert detector.detect(frame_of(picture)) == ()
    plain, mirrored = (tensor[0] for tensor in turns.seen)
    np.testing.assert_array_equal(plain, letterbox(picture, 64, 64)[0])
    np.testing.assert_array_equal(mirrored, plain[:, ::-1])


def test_two_inferences_that_agree_change_nothing() -> None:
    """The face is off the middle of its cell, so that left and right differ."""
    once = detector_of([face(19, 28, 12)]).detect(frame_of(texture(64, 64)))
    (found,) = twice_of([face(19, 28, 12)], [face(64 - 19, 28, 12)])[0].detect(frame_of(texture(64, 64)))
    np.testing.assert_allclose(found.box, once[0].box, atol=1e-3)
    assert found.score == pytest.approx(0.9, abs=1e-5)


def test_two_inferences_are_averaged_by_log_odds_and_by_logarithms_of_distances() -> None:
    detector, _ = twice_of([face(20, 28, 8, 0.9)], [face(44, 28, 18, 0.5)])
    (found,) = detector.detect(frame_of(texture(64, 64)))
    assert found.score == pytest.approx(0.75)  # the odds are 9 and 1, the root of their product is 3
    assert found.box.width == pytest.approx(12, abs=1e-3)


@pytest.mark.parametrize(("score", "found"), [(0.9, True), (0.5, False)])
def test_a_face_that_one_inference_hardly_finds_must_be_sure_in_the_other(score: float, found: bool) -> None:
    detector, _ = twice_of([face(20, 28, 12, score)], [face(44, 28, 12, 0.05)])
    assert bool(detector.detect(frame_of(texture(64, 64)))) is found


def test_each_cell_has_one_in_the_mirror() -> None:
    there = mirrored_cells(64, 96, (8, 16, 32))
    np.testing.assert_array_equal(there[there], np.arange(len(there)))
    centres, strides = cell_centres(64, 96, (8, 16, 32))
    np.testing.assert_array_equal(centres[there], np.stack([96 - centres[:, 0], centres[:, 1]], axis=1))
    np.testing.assert_array_equal(strides[there], strides)


def test_a_model_without_a_detectors_outputs_is_refused() -> None:
    answers = [np.zeros((1, 10, 4), np.float32), np.zeros((1, 10, 1), np.float32)]
    with pytest.raises(BundleError, match=r"gives \(1, 80, 1\) and \(1, 80, 4\)"):
        FaceDetector(Model(Bundle(b"", contract("detector"), {}), StubInterpreter(answers), "stub"), 0.2)


def test_boxes_side_by_side_or_one_above_the_other_are_all_kept_with_their_scores() -> None:
    """Far from the picture's corner: widths and heights count there, not coordinates."""
    boxes = np.array([[100, 100, 140, 140], [160, 100, 200, 140], [100, 160, 140, 200]], np.float32)
    found = faces_among(boxes, np.array([0.9, 0.8, 0.7], np.float32), 0.1)
    assert [tuple(box) for box, _ in found] == [tuple(box) for box in boxes.tolist()]
    assert [score for _, score in found] == pytest.approx([0.9, 0.8, 0.7])

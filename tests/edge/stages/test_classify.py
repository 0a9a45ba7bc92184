from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.contracts import Box, Face, Image, Stored, TensorSpec
from edge.errors import BundleError
from edge.inference.bundle import Bundle, Model
from edge.stages.classify import (
    DOUBTFUL_SCORE,
    SURE_SCORE,
    MaskClassifier,
    View,
    crop_face,
    crop_square,
    heat_of,
    observation_of,
    probabilities_of,
    quality_of,
    sharpness_of,
)
from tests.edge.parts import BARE, StubInterpreter, classifier_of, contract, frame_of, texture


def test_a_crop_inside_the_picture_is_the_picture() -> None:
    image = texture(100, 100)
    np.testing.assert_array_equal(crop_face(image, Box(20, 30, 40, 50), 0.0, (20, 20)), image[30:50, 20:40])


def test_a_crop_is_square_around_the_longer_side_with_its_margin() -> None:
    # 20 wide, 40 high, a margin of a quarter: 60 x 60 around (50, 50).
    image = texture(100, 100)
    np.testing.assert_array_equal(crop_face(image, Box(40, 30, 60, 70), 0.25, (60, 60)), image[20:80, 20:80])


@pytest.mark.parametrize(
    ("box", "row", "column"),
    [
        (Box(-10, 40, 10, 60), slice(None), 0),
        (Box(90, 40, 110, 60), slice(None), -1),
        (Box(40, -10, 60, 10), 0, slice(None)),
        (Box(40, 90, 60, 110), -1, slice(None)),
    ],
)
def test_a_crop_over_any_border_repeats_the_edge(box: Box, row: int | slice, column: int | slice) -> None:
    image = texture(100, 100)
    crop = crop_face(image, box, 0.0, (20, 20))
    reached = cv2.copyMakeBorder(image, 10, 10, 10, 10, cv2.BORDER_REPLICATE)
    x, y = int(box.xmin) + 10, int(box.ymin) + 10
    np.testing.assert_array_equal(crop, reached[y : y + 20, x : x + 20])
    edge = crop[row, column]
    outside = crop[:10] if row == 0 else crop[-10:] if row == -1 else crop[:, :10] if column == 0 else crop[:, -10:]
    assert (outside == (edge[None] if row in (0, -1) else edge[:, None])).all()


def test_a_crop_over_a_corner_repeats_both_edges() -> None:
    image = texture(100, 100)
    crop = crop_face(image, Box(-10, -10, 10, 10), 0.0, (20, 20))
    assert (crop[:10, :10] == image[0, 0]).all()
    np.testing.assert_array_equal(crop[10:, 10:], image[:10, :10])


@pytest.mark.parametrize("box", [Box(500, 500, 520, 520), Box(-90, 10, -70, 30), Box(10, 10, 10, 10)])
def test_boxes_outside_or_without_area_still_give_a_crop(box: Box) -> None:
    assert crop_face(texture(100, 100), box, 0.2, (24, 24)).shape == (24, 24, 3)


def test_softmax_is_read_in_the_contracts_order() -> None:
    found = probabilities_of(np.array([[0.1, 0.7, 0.2]], np.float32), contract("classifier"))
    assert found == {
        "with_mask": pytest.approx(0.1),
        "without_mask": pytest.approx(0.7),
        "with_incorrect_mask": pytest.approx(0.2),
    }


def test_int8_rounding_does_not_leave_probabilities_short_of_one() -> None:
    found = probabilities_of(np.array([[0.2, 0.2, 0.4]], np.float32), contract("classifier"))
    assert sum(found.values()) == pytest.approx(1)
    assert found["with_incorrect_mask"] == pytest.approx(0.5)


def test_one_sigmoid_neuron_is_the_probability_of_the_second_label() -> None:
    two = contract("classifier", labels=("mask", "bare"), compliant="mask", output="sigmoid")
    assert probabilities_of(np.array([[0.9]], np.float32), two) == {
        "mask": pytest.approx(0.1),
        "bare": pytest.approx(0.9),
    }


@pytest.mark.parametrize(("output", "labels"), [("softmax", ("a", "b")), ("sigmoid", ("a", "b"))])
def test_a_model_with_other_outputs_than_labels_is_refused(output: str, labels: tuple[str, ...]) -> None:
    spec = contract("classifier", labels=labels, compliant="a", output=output)
    model = Model(Bundle(b"", spec, {}), StubInterpreter([np.zeros((1, 3), np.float32)]), "stub")
    with pytest.raises(BundleError, match="gives one output"):
        MaskClassifier(model)


def test_an_observation_has_every_label_and_a_quality() -> None:
    (observation,) = classifier_of(BARE).classify(frame_of(texture(200, 200)), [View(Face(Box(50, 50, 110, 110), 0.9))])
    assert dict(observation.probabilities) == pytest.approx(dict(BARE), abs=1e-6)
    assert observation.quality == 1.0


def test_an_observation_has_the_heat_map_of_its_label() -> None:
    maps = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    spec = contract("classifier", labels=("with_mask", "without_mask"), heatmap=True, crop_margin=0.25)
    answers = [np.array([[0.1, 0.9]], np.float32), maps]
    classifier = MaskClassifier(Model(Bundle(b"", spec, {}), StubInterpreter(answers), "stub"))
    shown = frame_of(texture(100, 100)), [View(Face(Box(10, 20, 50, 60), 0.9))]
    (observation,) = classifier.classify(*shown)
    assert observation.heat is not None
    assert observation.heat.square == Box(0, 10, 60, 70)  # 40 pixels, a quarter more on every side
    np.testing.assert_array_equal(observation.heat.values, [[1, 3], [5, 7]])
    assert classifier_of(BARE).classify(*shown)[0].heat is None


def test_a_mirrored_view_flips_the_crop_and_flips_its_heat_map_back() -> None:
    maps = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    spec = contract("classifier", labels=("with_mask", "without_mask"), heatmap=True)
    answers = StubInterpreter([np.array([[0.1, 0.9]], np.float32), maps])
    classifier = MaskClassifier(Model(Bundle(b"", spec, {}), answers, "stub"))
    face = Face(Box(10, 20, 50, 60), 0.9)
    plain, mirrored = classifier.classify(frame_of(texture(100, 100)), [View(face), View(face, mirrored=True)])
    np.testing.assert_array_equal(answers.seen[1][0], answers.seen[0][0][:, ::-1])
    assert plain.heat is not None
    assert mirrored.heat is not None
    np.testing.assert_array_equal(mirrored.heat.values, plain.heat.values[:, ::-1])
    assert mirrored.quality == plain.quality


class Lopsided(StubInterpreter):
    """An interpreter that answers by the brighter half of the picture."""

    def run(self, tensor: npt.NDArray[np.generic]) -> Sequence[Stored]:
        self.seen.append(tensor)
        left, right = np.split(np.asarray(tensor, np.float64), 2, axis=2)
        return [self.answers[0] if left.mean() > right.mean() else self.answers[1]]

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return super().outputs[:1]


def test_the_mean_of_two_views_weighs_each_by_its_probability_of_a_face() -> None:
    labels = ("with_mask", "without_mask", "not_a_face")
    answers = Lopsided([np.array([[0.9, 0.1, 0.0]], np.float32), np.array([[0.1, 0.4, 0.5]], np.float32)])
    spec = contract("classifier", labels=labels, background="not_a_face")
    classifier = MaskClassifier(Model(Bundle(b"", spec, {}), answers, "stub"))
    picture = texture(100, 100)
    picture[:, :50] = 250
    observation = classifier.classify_single(frame_of(picture), Face(Box(30, 30, 70, 70), 0.9))
    assert len(answers.seen) == 2
    assert observation.background == pytest.approx(0.25)
    # (0.9 + 0.1) and (0.1 + 0.4), of 1.5 that is of a face.
    assert dict(observation.probabilities) == pytest.approx({"with_mask": 1 / 1.5, "without_mask": 0.5 / 1.5}, abs=1e-6)


def test_the_map_of_a_single_neuron_is_evidence_for_the_second_label() -> None:
    maps = np.array([[[1.0], [-2.0]]], np.float32)
    np.testing.assert_array_equal(heat_of(maps, 1), [[1, -2]])
    np.testing.assert_array_equal(heat_of(maps, 0), [[-1, 2]])


def test_the_square_of_a_crop_has_the_margin_all_round() -> None:
    image, box = texture(100, 120), Box(30.0, 20.0, 61.0, 60.0)
    x, y, side = crop_square(box, 0.2)
    np.testing.assert_array_equal(crop_face(image, box, 0.2, (side, side)), image[y : y + side, x : x + side])


def test_the_background_label_is_separate_from_the_labels_of_a_face() -> None:
    classifier = classifier_of({"with_mask": 0.3, "not_a_face": 0.4, "without_mask": 0.3}, background="not_a_face")
    assert classifier.labels == ("with_mask", "without_mask")
    (observation,) = classifier.classify(frame_of(texture(200, 200)), [View(Face(Box(50, 50, 110, 110), 0.9))])
    assert dict(observation.probabilities) == pytest.approx({"with_mask": 0.5, "without_mask": 0.5})
    assert observation.background == pytest.approx(0.4)
    assert observation.quality == pytest.approx(0.6)


def test_a_model_without_a_label_for_no_face_says_nothing_of_it() -> None:
    observation = observation_of({"with_mask": 0.9, "without_mask": 0.1}, 0.8, None)
    assert observation.background is None
    assert observation.quality == 0.8
    assert observation_of({"with_mask": 0.0, "not_a_face": 1.0, "without_mask": 0.0}, 1.0, "not_a_face").quality == 0


def quality_in(image: Image, face: Face) -> float:
    """Return the quality of an observation of a face in a picture."""
    full = Box(0, 0, image.shape[1], image.shape[0])
    return quality_of(crop_face(image, face.box, 0.2, (96, 96)), 0.2, face, full)


def test_quality_falls_with_size_blur_and_the_share_outside() -> None:
    image = texture(200, 200)
    good = quality_in(image, Face(Box(60, 60, 120, 120), 0.9))
    blurred = cv2.GaussianBlur(image, (0, 0), 12)
    assert good == 1.0
    assert quality_in(image, Face(Box(60, 60, 84, 84), 0.9)) == pytest.approx((24 - 12) / (48 - 12))
    assert quality_in(image, Face(Box(60, 60, 72, 72), 0.9)) == 0.0
    assert quality_in(np.asarray(blurred, np.uint8), Face(Box(60, 60, 120, 120), 0.9)) < 0.3
    # Half outside, and touching the border on top of that.
    assert quality_in(image, Face(Box(-30, 60, 30, 120), 0.9)) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("box", [Box(500, 500, 560, 560), Box(10, 10, 10, 10), Box(-60, 0, 0, 60)])
def test_a_face_that_is_not_there_has_no_quality(box: Box) -> None:
    assert quality_in(texture(200, 200), Face(box, 0.9)) == 0.0


def test_quality_grows_with_the_detectors_score() -> None:
    image, box = texture(200, 200), Box(60, 60, 120, 120)
    assert quality_in(image, Face(box, SURE_SCORE)) == quality_in(image, Face(box, 1.0)) > 0.9
    half = (DOUBTFUL_SCORE + SURE_SCORE) / 2
    assert quality_in(image, Face(box, half)) == pytest.approx(quality_in(image, Face(box, SURE_SCORE)) / 2)
    assert quality_in(image, Face(box, DOUBTFUL_SCORE)) == 0.0


@pytest.mark.parametrize("box", [Box(20, 30, 40, 50), Box(-10, -10, 10, 10)])
def test_a_view_of_bgr_memory_is_cut_as_its_rgb_copy_is(box: Box) -> None:
    view = texture(100, 100)[:, :, ::-1]
    np.testing.assert_array_equal(crop_face(view, box, 0.2, (24, 24)), crop_face(view.copy(), box, 0.2, (24, 24)))
    assert quality_in(view, Face(box, 0.9)) == quality_in(view.copy(), Face(box, 0.9))


@pytest.mark.parametrize(
    "box", [Box(0, 60, 60, 120), Box(60, 0, 120, 60), Box(140, 60, 200, 120), Box(60, 140, 120, 200)]
)
def test_a_face_at_any_border_counts_half(box: Box) -> None:
    """The border cuts it off, although the box ends there."""
    image = texture(200, 200)
    inside = quality_in(image, Face(Box(60, 60, 120, 120), 0.9))
    assert quality_in(image, Face(box, 0.9)) == pytest.approx(inside / 2)


def test_sharpness_is_measured_at_one_size_whatever_the_size_of_the_crop() -> None:
    small = crop_face(cv2.GaussianBlur(texture(96, 96), (0, 0), 1.0), Box(0, 0, 96, 96), 0.0, (96, 96))
    large = np.asarray(cv2.resize(small, (288, 288), interpolation=cv2.INTER_LINEAR), np.uint8)
    assert sharpness_of(large, 0.2) == pytest.approx(sharpness_of(small, 0.2), rel=0.3)


@pytest.mark.parametrize(("heatmap", "maps"), [(True, 0), (False, 1)])
def test_a_model_whose_heat_maps_do_not_match_its_contract_is_refused(heatmap: bool, maps: int) -> None:
    outputs = [np.zeros((1, 3), np.float32), *[np.zeros((1, 6, 6, 3), np.float32)] * maps]
    spec = contract("classifier", heatmap=heatmap)
    with pytest.raises(BundleError, match="convert it again"):
        MaskClassifier(Model(Bundle(b"", spec, {}), StubInterpreter(outputs), "stub"))

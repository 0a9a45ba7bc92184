"""Pixels, colour order and labels are found out from pictures; what pictures contradict is refused.

The networks here are formulas: they answer well when pixels come as they expect them, and say nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.evidence import Evidence, composed
from converter.identify import Identified, identify
from converter.load import Source
from converter.options import Options
from converter.rank import assigned
from converter.scaling import SCALINGS, Pixels
from converter.structure import Structure
from edge.errors import ConversionError, FidelityError

CLASSES = ("with_mask", "without_mask")


class Tensor:
    """What a TensorFlow function returns, as far as it is used."""

    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values, np.float32)

    def numpy(self) -> Any:
        return self._values


def pictures(count: int, seed: int = 1) -> Evidence:
    """Labelled pictures 8 x 8: more blue for a mask, less for none, some of them hard to tell apart."""
    rng = np.random.default_rng(seed)
    classes = [CLASSES[i % 2] for i in range(count)]
    images = np.full((count, 8, 8, 3), 110.0)
    strength = rng.normal(40, 22, (count, 1, 1))
    sign = np.array([1 if name == "with_mask" else -1 for name in classes])[:, None, None]
    images[..., 2] += sign * strength
    images += rng.normal(0, 12, images.shape)
    return Evidence(np.clip(images, 0, 255).astype(np.uint8), tuple(classes), "your labelled pictures")


def network(
    expects: Pixels,
    path: Path = Path("/nowhere/model.keras"),
    masked_first: bool = True,
    spoil: Callable[[Any], Any] = lambda p: p,
    neurons: int = 2,
    notes: dict[str, Any] | None = None,
) -> Source:
    """A classifier of :func:`pictures` that was trained with ``expects``."""

    def answer(x: Any) -> tuple[Tensor, ...]:
        scale, offset = np.array(expects.scale), np.array(expects.offset)
        rgb = (x - offset) / scale
        rgb = rgb if expects.colour == "RGB" else rgb[..., ::-1]
        means = rgb.mean(axis=(1, 2))
        # What is no picture says nothing: exposure and contrast must be a photograph's.
        plausible = np.exp(-(((means.mean(axis=1) - 110) / 60) ** 2)) * (np.abs(np.ptp(rgb, axis=(1, 2, 3)) - 110) < 70)
        masked = 1 / (1 + np.exp(-(means[:, 2] - 110) / 12 * plausible))
        masked = spoil(masked)
        first = masked if masked_first else 1 - masked
        if neurons == 1:
            return (Tensor((1 - first)[:, None]),)
        return (Tensor(np.stack([first, 1 - first, *[first * 0] * (neurons - 2)], axis=1)),)

    return Source(
        path, "0" * 64, "Keras 3", 8, 8, 3, 8, "classifier", neurons, Structure("softmax"), answer, answer, None,
        notes or {},
    )  # fmt: skip


def found(source: Source, count: int = 120, options: Options | None = None) -> Identified:
    return identify(source, pictures(count), options or Options(), clock=lambda: 0.0)


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("name", list(SCALINGS))
def test_every_scaling_in_both_colour_orders(name: str, colour: str) -> None:
    expects = SCALINGS[name]
    expects = Pixels(name, expects.scale, expects.offset, colour)  # type: ignore[arg-type]
    pixels = found(network(expects)).pixels
    alike = {"x/127-1": "-1..1"}.get(name, name)
    assert (pixels.name, pixels.colour, pixels.guessed) == (alike, colour, True)


@pytest.mark.parametrize("masked_first", [True, False])
@pytest.mark.parametrize("neurons", [1, 2])
def test_labels_come_in_the_order_of_the_outputs(masked_first: bool, neurons: int) -> None:
    labels = found(network(SCALINGS["0..1"], masked_first=masked_first, neurons=neurons)).labels
    assert labels is not None
    assert labels.names == (CLASSES if masked_first else CLASSES[::-1])
    assert (labels.compliant, labels.dangerous, labels.guessed) == ("with_mask", "without_mask", True)


def test_the_stated_colour_is_the_one_that_is_ranked() -> None:
    expects = Pixels("0..1", SCALINGS["0..1"].scale, SCALINGS["0..1"].offset, "BGR")
    assert found(network(expects), options=Options(colour="BGR")).pixels.name == "0..1"


def test_labels_in_the_wrong_order_are_refused_with_the_command_that_is_right(tmp_path: Path) -> None:
    options = Options(labels=CLASSES[::-1])
    with pytest.raises(FidelityError, match="--labels with_mask,without_mask"):
        found(network(SCALINGS["0..1"]), options=options)
    accepted = found(network(SCALINGS["0..1"]), options=Options(labels=CLASSES[::-1], accept=("order",)))
    assert accepted.labels is not None
    assert accepted.labels.names == CLASSES[::-1]


def test_other_names_for_the_same_labels_are_compared_by_their_meaning() -> None:
    with pytest.raises(FidelityError, match="--labels Mask,NoMask"):
        found(network(SCALINGS["0..1"]), options=Options(labels=("NoMask", "Mask")))
    right = found(network(SCALINGS["0..1"]), options=Options(labels=("Mask", "NoMask")))
    assert right.labels is not None
    assert right.labels.compliant == "Mask"


@pytest.mark.parametrize("colour", ["RGB", "auto"])
def test_a_wrong_scaling_is_refused_with_the_command_that_is_right(colour: Any) -> None:
    options = Options(labels=CLASSES, pixels="0..255", colour=colour)
    with pytest.raises(FidelityError, match=r"--pixels 0\.\.1"):
        found(network(SCALINGS["0..1"]), options=options)


def test_a_model_that_always_says_the_same_is_refused() -> None:
    source = network(SCALINGS["0..1"], spoil=lambda p: 0.9 + 0.05 * p)
    stated = Options(labels=CLASSES, pixels="0..1", colour="RGB")
    with pytest.raises(FidelityError, match="same answer"):
        found(source, options=stated)
    with pytest.raises(ConversionError, match="same answer"):
        found(source)


def test_near_chance_nothing_is_guessed() -> None:
    rng = np.random.default_rng(3)
    source = network(SCALINGS["0..1"], spoil=lambda p: rng.random(len(p)))
    with pytest.raises(ConversionError, match="near chance level"):
        found(source)
    with pytest.raises(FidelityError, match="--accept chance"):
        found(source, options=Options(labels=CLASSES, pixels="0..1", colour="RGB"))


def test_composed_pictures_that_do_not_decide_end_in_commands() -> None:
    """A network that is often wrong, on 24 composed pictures: the commands are printed instead."""
    rng = np.random.default_rng(2)
    confusing = network(SCALINGS["0..1"], spoil=lambda p: np.clip(p + rng.normal(0, 0.6, len(p)), 0.01, 0.99))
    shown = pictures(24)
    with pytest.raises(ConversionError) as raised:
        identify(confusing, Evidence(shown.images, shown.classes, "composed pictures"), Options(), clock=lambda: 0.0)
    assert all("fmd-convert /nowhere/model.keras" in command for command in raised.value.commands)
    assert any("--calibration" in command for command in raised.value.commands)


def test_three_outputs_and_two_classes_are_a_question() -> None:
    with pytest.raises(ConversionError, match="has 3 outputs and nothing names them"):
        found(network(SCALINGS["0..1"], neurons=3))


def test_names_that_say_nothing_get_their_meaning_from_pictures() -> None:
    labels = found(network(SCALINGS["0..1"]), options=Options(labels=("Class 1", "Class 2"))).labels
    assert labels is not None
    assert (labels.compliant, labels.dangerous) == ("Class 1", "Class 2")


def test_notes_of_the_trainer_come_before_guesses(tmp_path: Path) -> None:
    notes = {"labels": ["without_mask", "with_mask"], "pixels": "0..1", "colour": "RGB"}
    labels = found(network(SCALINGS["0..1"], masked_first=False, notes=notes)).labels
    assert labels is not None
    assert (labels.names, labels.guessed) == (CLASSES[::-1], False)


def test_a_labels_file_beside_the_model_is_read_and_checked(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("0 Mask\n1 NoMask\n")
    path = tmp_path / "model.keras"
    labels = found(network(SCALINGS["0..1"], path)).labels
    assert labels is not None
    assert labels.names == ("Mask", "NoMask")
    with pytest.raises(FidelityError, match="in another order than the outputs"):
        found(network(SCALINGS["0..1"], path, masked_first=False))


def test_assignment_gives_each_output_to_one_class() -> None:
    answers = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
    outputs, accuracy = assigned(answers, ["a", "a", "b", "b"])
    assert outputs == {"a": 0, "b": 1}
    assert accuracy == pytest.approx(0.75)


def test_composed_pictures_are_the_same_for_the_same_seed_and_show_three_kinds() -> None:
    pytest.importorskip("skimage", reason="the portrait: pip install '.[convert]'")
    images, classes = composed(48, 40, 20, 4)
    assert images.shape == (20, 48, 40, 3)
    assert set(classes) == {"with_mask", "without_mask", "with_incorrect_mask"}
    np.testing.assert_array_equal(images, composed(48, 40, 20, 4)[0])


def test_a_compliant_label_that_bare_faces_get_is_refused() -> None:
    """The names show no meaning, so their order cannot be compared; the pictures know which output is masked."""
    options = Options(labels=("a", "b"), compliant="b")
    with pytest.raises(FidelityError, match="--labels a,b --compliant a"):
        found(network(SCALINGS["0..1"]), options=options)
    accepted = found(network(SCALINGS["0..1"]), options=Options(labels=("a", "b"), compliant="b", accept=("order",)))
    assert accepted.labels is not None
    assert accepted.labels.compliant == "b"


def test_a_third_folder_says_nothing_about_a_model_of_two_labels() -> None:
    shown = pictures(120)
    rng = np.random.default_rng(4)
    badly = np.clip(shown.images[:40] + rng.normal(0, 40, (40, 8, 8, 3)), 0, 255).astype(np.uint8)
    images = np.concatenate([badly, shown.images])
    classes = ("mask_weared_incorrect",) * 40 + shown.classes
    three = Evidence(images, classes, "your labelled pictures")
    labels = identify(network(SCALINGS["0..1"]), three, Options(), clock=lambda: 0.0).labels
    assert labels is not None
    assert labels.names == CLASSES


def test_offered_commands_can_be_typed_with_labels_of_several_words() -> None:
    shown = pictures(120)
    spaced = tuple({"with_mask": "has a mask", "without_mask": "no mask"}[name] for name in shown.classes)
    evidence = Evidence(shown.images, spaced, "your labelled pictures")
    options = Options(labels=("no mask", "has a mask"))
    with pytest.raises(FidelityError, match="--labels 'has a mask,no mask'"):
        identify(network(SCALINGS["0..1"]), evidence, options, clock=lambda: 0.0)


def test_a_path_like_an_option_is_offered_as_a_path() -> None:
    options = Options(labels=CLASSES[::-1])
    with pytest.raises(FidelityError, match=r"fmd-convert '\./-my model\.keras'"):
        found(network(SCALINGS["0..1"], Path("-my model.keras")), options=options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(labels=CLASSES[::-1]), "--labels with_mask,without_mask"),
        (Options(labels=CLASSES, pixels="0..255", colour="RGB"), r"--pixels 0\.\.1"),
    ],
)
def test_pictures_that_fmd_labelled_itself_contradict_wrong_options(options: Options, said: str) -> None:
    shown = pictures(120)
    own = Evidence(shown.images, shown.classes, "your pictures, labelled by fmd's own classifier")
    with pytest.raises(FidelityError, match=said):
        identify(network(SCALINGS["0..1"]), own, options, clock=lambda: 0.0)


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("your labelled pictures", "labelled pictures"),
        ("your pictures, labelled by fmd's own classifier", "pictures labelled by fmd's own classifier"),
        ("composed pictures", "composed pictures"),
    ],
)
def test_the_accuracy_states_which_pictures_it_is_of(origin: Any, said: str) -> None:
    shown = pictures(120)
    evidence = Evidence(shown.images, shown.classes, origin)
    options = Options(labels=CLASSES, pixels="0..1", colour="RGB")
    assert identify(network(SCALINGS["0..1"]), evidence, options, clock=lambda: 0.0).of == said


def test_equally_good_hypotheses_all_see_every_picture() -> None:
    """The usual scaling must not be left behind on the few pictures that it saw before others were preferred to it."""

    def answer(x: Any) -> tuple[Tensor, ...]:
        means = np.asarray(x, np.float64).mean(axis=(1, 2))
        masked = means[:, 1] < means[:, ::2].mean(axis=1)  # right in every scaling and both colour orders
        wrong = np.modf(np.abs(means @ [911.0, 577.0, 313.0]))[0] < 0.06  # on a few pictures, others in each
        first = np.where(masked ^ wrong, 0.95, 0.05)
        return (Tensor(np.stack([first, 1 - first], axis=1)),)

    source = replace(network(SCALINGS["0..1"]), forward=answer, compiled=answer)
    shown, rng = pictures(320), np.random.default_rng(2)
    sign = np.array([1 if name == "without_mask" else -1 for name in shown.classes])
    images = rng.normal(110, 25, (320, 8, 8, 3))
    images[..., 1] += 40 * sign[:, None, None]
    labelled = Evidence(np.clip(images, 0, 255).astype(np.uint8), shown.classes, "your labelled pictures")
    decided = identify(source, labelled, Options(), clock=lambda: 0.0)
    assert (decided.pixels.name, decided.pictures) == ("0..1", 320)

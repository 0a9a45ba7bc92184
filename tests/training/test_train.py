"""Training runs: the loop around any network, broken off and taken up again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="keras is not installed; pip install '.[convert]'")

from converter import tables  # noqa: E402
from edge.contracts import Floats, Image  # noqa: E402
from edge.errors import DataError  # noqa: E402
from training import classifier, tracking, train  # noqa: E402

EPOCHS, STEPS, BATCH, SIZE = 4, 3, 4, 8
Draw = Callable[[np.random.Generator], tuple[Image, Floats]]


class PowerCutError(Exception):
    """What a training run may meet."""


def recipe_in(folder: Path) -> train.Recipe:
    return train.Recipe(folder / "run", SIZE, BATCH, EPOCHS, STEPS, 0.02, seed=3, weights=None, resume=False)


@pytest.fixture
def recipe(tmp_path: Path) -> train.Recipe:
    return recipe_in(tmp_path)


def clean(rng: np.random.Generator) -> tuple[Image, Floats]:
    """Bright or dark noise, and which it is."""
    bright = int(rng.integers(2))
    image = rng.integers(0, 128, (SIZE, SIZE, 3)) + 127 * bright
    return image.astype(np.uint8), np.array([bright], np.float32)


def cut_after(samples: int) -> Draw:
    """``clean`` until so many were drawn."""
    drawn = [0]

    def until(rng: np.random.Generator) -> tuple[Image, Floats]:
        drawn[0] += 1
        if drawn[0] > samples:
            raise PowerCutError
        return clean(rng)

    return until


def run(recipe: train.Recipe, draw: Draw, skill: Callable[[int], float] | None = None) -> Path:
    """Fit a small network with dropout, as the real ones have it; ``skill`` stands in for its measure by epoch."""
    keras.utils.set_random_seed(recipe.seed)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    rng = np.random.default_rng(99)
    held = [clean(rng) for _ in range(16)]
    inputs, wanted = np.stack([h[0] for h in held]).astype(np.float32), np.stack([h[1] for h in held])
    epochs = iter(range(1, 1000))

    def measure() -> dict[str, float]:
        error = float(np.abs(network.predict(inputs, verbose=0) - wanted).mean())
        return {"skill": skill(next(epochs)) if skill else 1 - error}

    return train.fit(recipe, network, train.saver(network, False), "mse", train.Batches(recipe, draw), measure, "skill")


def drop_last_row(table: Path) -> None:
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join(lines[:-1]), encoding="utf-8")


def curve_of(recipe: train.Recipe) -> list[dict[str, float]]:
    """The curve without what no two runs share: seconds and the machine's state."""
    rows = tracking.read_curve(recipe.out)
    return [{k: v for k, v in row.items() if k in ("epoch", "loss", "skill")} for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> train.Recipe:
    """A run from start to end."""
    recipe = recipe_in(tmp_path_factory.mktemp("whole"))
    run(recipe, clean)
    return recipe


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same run, broken off in its third epoch."""
    recipe = recipe_in(tmp_path_factory.mktemp("broken"))
    # Keras draws two batches to learn their shape; then two epochs and one batch of the third.
    with pytest.raises(Exception, match="PowerCut"):
        run(recipe, cut_after(BATCH * (2 + 2 * STEPS + 1)))
    return recipe.out


@pytest.mark.parametrize("torn", [False, True])
def test_a_run_broken_off_goes_on_as_if_nothing_had_been(
    whole: train.Recipe, broken_off: Path, recipe: train.Recipe, torn: bool
) -> None:
    shutil.copytree(broken_off, recipe.out)
    assert len(curve_of(recipe)) == 2
    # And the power went while the backup of the second epoch was being written.
    backup = recipe.out / "backup" / "latest.weights.h5"
    if torn:
        backup.write_bytes(backup.read_bytes()[:5000])
        drop_last_row(recipe.out / tracking.CURVE_NAME)
    best = run(replace(recipe, resume=True), clean)
    # Not to the last bit: the uninterrupted run swaps weights and their average by adding and subtracting.
    assert [list(row.values()) for row in curve_of(recipe)] == [
        pytest.approx(list(row.values()), abs=5e-4) for row in curve_of(whole)
    ]
    ours, theirs = (keras.models.load_model(path) for path in (best, whole.out / "best.keras"))
    for got, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-3)


def test_samples_follow_from_seed_epoch_and_place(recipe: train.Recipe) -> None:
    batches, same = train.Batches(recipe, clean), train.Batches(recipe, clean)
    other = train.Batches(replace(recipe, seed=4), clean)
    first = batches[0][0]
    np.testing.assert_array_equal(first, same[0][0])
    assert (first != batches[1][0]).any()
    assert (first != other[0][0]).any()
    same.epoch += 1
    assert (first != same[0][0]).any()


def test_a_run_that_is_done_is_neither_overwritten_nor_gone_on_with(recipe: train.Recipe) -> None:
    done = replace(recipe, epochs=1)
    run(done, clean)
    told = json.loads((recipe.out / tracking.RUN_NAME).read_text(encoding="utf-8"))
    assert told["recipe"]["seed"] == 3
    assert told["command"].startswith("fmd-train")
    assert {"keras", "tensorflow", "numpy", "python"} <= told["versions"].keys()
    before = curve_of(recipe)
    with pytest.raises(DataError, match="give --resume"):
        run(done, clean)
    run(replace(done, resume=True), clean)
    assert curve_of(recipe) == before


def test_patience_ends_a_run_and_its_best_is_kept(recipe: train.Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    patient = replace(recipe, epochs=12, patience=2)
    assert run(patient, clean, skill=lambda epoch: -abs(epoch - 3.0)).is_file()
    assert [row["epoch"] for row in curve_of(patient)] == [1, 2, 3, 4, 5]
    said = capsys.readouterr().out
    assert "no better epoch in 2" in said
    assert said.count("<- best") == 3
    best, last = ((patient.out / f"{name}.keras").stat().st_mtime_ns for name in ("best", "last"))
    assert best < last


@pytest.mark.parametrize(
    ("reached", "patience", "ends"),
    [([0.1, 0.2, 0.2, 0.1], 2, True), ([0.1, 0.2, 0.1, 0.3], 2, False), ([0.3, 0.2], 2, False), ([0.3] * 9, 0, False)],
)
def test_worn_out(reached: list[float], patience: int, ends: bool) -> None:
    assert train.worn_out(reached, patience) is ends


def test_progress_says_how_long_is_left() -> None:
    assert train.progress([90.0, 10.0, 12.0], 30) == "12.0 s this epoch, 30 to go: about 0:06:00 left"


def test_too_few_pictures(recipe: train.Recipe, class_folders: Path) -> None:
    pictures = tables.read_folders(class_folders)[:1]
    with pytest.raises(DataError, match="expected some of both"):
        train.train_classifier(replace(recipe, size=32), pictures, ["with_mask", "without_mask"], True)


def test_classifier_figures_are_of_the_labels_there_are() -> None:
    """The network here says "bright" or "dark"; of the third label there is no example."""
    network = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    )
    kernel = np.array([[1.0, -1.0, 0.0]] * 3, np.float32)
    network.layers[-1].set_weights([kernel, np.array([-300.0, 300.0, -1e6], np.float32)])
    bright, dark = (np.full((20, 20, 3), level, np.uint8) for level in (200, 20))
    examples = [
        classifier.Example(image, None, label) for image, label in ((bright, 0), (dark, 1), (dark, 0), (bright, 0))
    ]
    found = train.classifier_measure(network, examples, ["light", "dark", "grey"], SIZE)()
    assert found.pop("likelihood") > 0  # outputs of this network are no probabilities
    assert found == pytest.approx(
        {"accuracy": 0.75, "mean_recall": 5 / 6, "recall_light": 2 / 3, "recall_dark": 1.0}
    )  # fmt: skip


def test_the_likelihood_is_the_geometric_mean_of_the_right_labels_chance() -> None:
    network = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    even = [np.zeros(w.shape, np.float32) for w in network.get_weights()]
    network.set_weights(even)
    image = np.zeros((20, 20, 3), np.uint8)
    examples = [classifier.Example(image, None, 0), classifier.Example(image, None, 1)]
    assert train.classifier_measure(network, examples, ["a", "b"], SIZE)()["likelihood"] == pytest.approx(0.5)


def test_labels_weigh_alike_in_the_likelihood() -> None:
    network = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    kernel, _ = network.get_weights()
    network.set_weights([np.zeros_like(kernel), np.array([np.log(4.0), 0.0], np.float32)])  # 0.8 and 0.2 for all
    image = np.zeros((20, 20, 3), np.uint8)
    examples = [classifier.Example(image, None, 0)] * 9 + [classifier.Example(image, None, 1)]
    assert train.classifier_measure(network, examples, ["a", "b"], SIZE)()["likelihood"] == pytest.approx(0.4)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, keras.Model]:
    """The file and the network of an earlier run, for two labels."""
    network, path = classifier.build(32, None, 2, alpha=0.35), tmp_path_factory.mktemp("earlier") / "best.keras"
    train.saver(network, rounded=False)(path)
    return path, network


@pytest.fixture(scope="module")
def three_labels() -> keras.Model:
    return classifier.build(32, None, 3, alpha=0.35)


def test_a_run_begins_with_the_weights_of_an_earlier_one(earlier: tuple[Path, keras.Model]) -> None:
    path, network = earlier
    later = classifier.build(64, None, 2, alpha=0.35)
    train.begin_with(path, later)
    for ours, theirs in zip(later.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_run_cannot_begin_with_another_network(
    earlier: tuple[Path, keras.Model], three_labels: keras.Model, tmp_path: Path
) -> None:
    train.saver(three_labels, rounded=False)(tmp_path / "best.keras")
    with pytest.raises(DataError, match=r"best\.keras: not a network of this kind"):
        train.begin_with(tmp_path / "best.keras", earlier[1])
    with pytest.raises(DataError, match="no such file"):
        train.begin_with(tmp_path / "none.keras", three_labels)


def test_a_classifier_of_more_labels_takes_over_those_it_shares(
    earlier: tuple[Path, keras.Model], three_labels: keras.Model
) -> None:
    own = three_labels.get_weights()[-2][:, 2]
    train.begin_with(earlier[0], three_labels)
    np.testing.assert_array_equal(three_labels.get_weights()[-2][:, :2], earlier[1].get_weights()[-2])
    np.testing.assert_array_equal(three_labels.get_weights()[-2][:, 2], own)


def test_a_teacher_shares_the_target_with_the_label(three_labels: keras.Model, tmp_path: Path) -> None:
    train.saver(three_labels, rounded=False)(tmp_path / "teacher.keras")
    teacher = train.load_teacher(tmp_path / "teacher.keras", classifier.build(32, None, 3, alpha=0.35))
    assert teacher.side == 32
    seen = np.random.default_rng(4).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[[2, 0]]
    wanted = train.TAUGHT * np.asarray(three_labels(seen)) + (1 - train.TAUGHT) * labels
    np.testing.assert_allclose(teacher.answer(seen, labels), wanted, atol=1e-5)


def test_a_teacher_of_other_labels(earlier: tuple[Path, keras.Model], three_labels: keras.Model) -> None:
    with pytest.raises(DataError, match=r"--teacher .*: got an output of \(None, 2\), expected \(None, 3\)"):
        train.load_teacher(earlier[0], three_labels)
    with pytest.raises(DataError, match="no such file"):
        train.load_teacher(earlier[0].parent / "none.keras", three_labels)


@pytest.mark.slow
@pytest.mark.parametrize("sigmoid", [True, False])
def test_a_classifier_learns_from_a_teacher(
    class_folders: Path, recipe: train.Recipe, tmp_path: Path, sigmoid: bool
) -> None:
    train.saver(classifier.build(48, None, 1 if sigmoid else 2, alpha=0.35), rounded=False)(tmp_path / "teacher.keras")
    short = replace(recipe, size=32, epochs=1, steps=2)
    pictures = tables.read_folders(class_folders)
    best = train.train_classifier(
        short, pictures, ["with_mask", "without_mask"], sigmoid, teacher_path=tmp_path / "teacher.keras"
    )
    assert keras.models.load_model(best).input_shape == (None, 32, 32, 3)


@pytest.mark.slow
@pytest.mark.parametrize("sigmoid", [True, False])
def test_a_classifier_from_class_folders(class_folders: Path, recipe: train.Recipe, sigmoid: bool) -> None:
    short = replace(recipe, size=32, epochs=1, steps=2)
    best = train.train_classifier(short, tables.read_folders(class_folders), ["with_mask", "without_mask"], sigmoid)
    assert keras.models.load_model(best).output_shape == (None, 1 if sigmoid else 2)


@pytest.mark.slow
def test_a_frozen_run_trains_the_head_alone(class_folders: Path, recipe: train.Recipe, tmp_path: Path) -> None:
    start = classifier.build(32, None, 2)
    train.saver(start, rounded=False)(tmp_path / "start.keras")
    short = replace(recipe, size=32, epochs=1, steps=2, frozen=True, start=tmp_path / "start.keras")
    best = train.train_classifier(short, tables.read_folders(class_folders), ["with_mask", "without_mask"], False)
    *backbone, kernel, _ = zip(start.get_weights(), keras.models.load_model(best).get_weights(), strict=True)
    for before, after in backbone:
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(*kernel)


@pytest.mark.slow
def test_a_detector_from_boxes(boxes_table: Path, recipe: train.Recipe) -> None:
    best = train.train_detector(replace(recipe, size=64, epochs=1, steps=2), [tables.read_boxes(boxes_table)])
    shapes = {name: tuple(tensor.shape) for name, tensor in keras.models.load_model(best).output.items()}
    assert shapes == {"scores": (None, 84, 1), "boxes": (None, 84, 4)}

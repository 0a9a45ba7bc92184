"""The papers' comparison on drawn faces, piece by piece; the whole of it takes minutes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="keras is not installed; pip install '.[convert]'")
pytest.importorskip("sklearn", reason="scikit-learn is not installed; pip install '.[train]'")

pytest.importorskip("matplotlib", reason="matplotlib is not installed; pip install '.[train]'")

from edge.errors import DataError
from training import confusion, papers


@pytest.fixture(scope="module")
def sets(class_folders: Path) -> papers.Sets:
    return papers.load(class_folders)


@pytest.fixture
def plan(tmp_path: Path) -> papers.Plan:
    return papers.Plan(tmp_path, weights=None, epochs=6, copies=1, seed=1)


@pytest.fixture(scope="module")
def features(sets: papers.Sets) -> dict[str, np.ndarray]:
    """Features (n, 8) that tell the classes apart, in place of the base's."""
    rng = np.random.default_rng(1)
    parts = {"train": "train", "train copy 0": "train", "validation": "validation"}
    parts.update({name: "test" for name, _ in sets.tests()})
    return {
        name: (rng.normal(0, 0.1, (len(sets.wanted(part)), 8)) + 2 * sets.wanted(part)[:, None]).astype(np.float32)
        for name, part in parts.items()
    }


def test_the_split_is_kept_apart(sets: papers.Sets) -> None:
    groups = {part: {picture.group for picture in pictures} for part, pictures in sets.pictures.items()}
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]
    assert {name: max(images[0].shape) for name, images in sets.tests()} == {"whole": 80, "96 px": 80, "64 px": 64}


def test_a_convolutional_network_learns_and_leaves_its_pictures(sets: papers.Sets, plan: papers.Plan) -> None:
    result = papers.train_cnn("CNN 3x3", 3, sets, plan)
    papers.draw(result, plan.out)
    assert result.matrices["whole"].sum() == 12
    assert [row["epoch"] for row in result.curve] == [1, 2, 3, 4, 5, 6]
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= result.curve[0].keys()
    assert result.curve[-1]["loss"] < result.curve[0]["loss"]
    assert {path.name for path in plan.out.iterdir()} == {
        "CNN-3x3.keras", "CNN-3x3-confusion.png", "CNN-3x3-curves.png",
    }  # fmt: skip


def test_scikit_learn_on_features(sets: papers.Sets, features: dict[str, np.ndarray]) -> None:
    from sklearn.linear_model import LogisticRegression

    base = papers.Cost(10.0, 9.0)
    result = papers.fit_sklearn("logistic regression", LogisticRegression(), features, sets, base)
    assert confusion.accuracy(result.matrices["whole"]) == 1.0
    assert result.cost.ms_per_picture > 10
    assert result.cost.megabytes > 9


def test_one_table_with_a_row_a_class(sets: papers.Sets, features: dict[str, np.ndarray], tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    result = papers.fit_sklearn("logistic regression", LogisticRegression(), features, sets, papers.Cost(1.0, 1.0))
    rows = papers.table([result])
    papers.write_table(rows, tmp_path)
    with (tmp_path / "comparison.csv").open(encoding="utf-8") as handle:
        assert [row["class"] for row in csv.DictReader(handle)] == ["with_mask", "without_mask"]
    lines = (tmp_path / "comparison.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| logistic regression | with_mask | 1.0000 | 1.0000 | 1.0000 | 6 | 1.0000 |")


def test_augmentation_keeps_size_and_follows_its_seed(sets: papers.Sets) -> None:
    image = sets.images["train"][0]
    first, again = (papers.papers_augment(image, np.random.default_rng(3)) for _ in range(2))
    assert first.shape == image.shape
    assert (first == again).all()
    assert (first != image).any()


def test_folders_without_a_test_split(class_folders: Path, tmp_path: Path) -> None:
    for label in ("with_mask", "without_mask"):
        (tmp_path / label).symlink_to(class_folders / label)
    with pytest.raises(DataError, match=r"for test; give a split.csv"):
        papers.load(tmp_path)

"""The papers' comparison: their networks and their scikit-learn classifiers, on one split, as one table.

* "CNN 3x3": two 3 x 3 convolutions with max pooling, flatten, dropout, dense (after Das, Ansari, Basak 2020,
  doi 10.1109/INDICON49873.2020.9342585), and "CNN 7x7x32", whose first layer has 32 filters of 7 x 7;
* "MobileNetV2": ImageNet's base, frozen, 7 x 7 average pooling, Dense 128, dropout 0.5, softmax; Adam whose rate
  decays by initial/epochs a step, batch 32, 20 epochs, rotated, zoomed, moved, sheared and mirrored pictures;
* "SVC" and "logistic regression" of scikit-learn on the same base's pooled features.

The base is frozen, so its features are computed once and kept: training a head on them is the same as training it on
the pictures. Augmentation then is a choice among a few augmented copies, not a new one every epoch. Every test
picture is also first shrunk to 96 and 64 pixels: what a model then loses, it had read off the resolution.
"""

from __future__ import annotations

import functools
import hashlib
import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import keras
import numpy as np
import numpy.typing as npt

from converter import tables
from converter.keras_files import add_notes
from edge.contracts import Floats, Image
from edge.errors import DataError, RuntimeMissingError
from edge.inference.bundle import Model
from training import augment, backbone, confusion, data, plots, results
from training.evaluate import SHRUNK_TO, folder_probabilities

BASE_SIZE, CNN_SIZE = 224, 100
BATCH = 32
LEARNING_RATE = 1e-4
WHOLE = "whole"
OF_CLASS = ("model", "class", "precision", "recall", "f1", "support")
OF_MODEL = ("accuracy", *(f"accuracy {side} px" for side in SHRUNK_TO), "train s", "ms/picture", "MB")
COLUMNS = (*OF_CLASS, *OF_MODEL)

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Sets:
    """The split's pictures: (H, W, 3) RGB each, with class indices (n,)."""

    labels: tuple[str, ...]
    pictures: Mapping[str, list[tables.Picture]]
    images: Mapping[str, list[Image]]

    def wanted(self, part: str) -> Indices:
        """Return class indices (n,) of ``train``, ``validation`` or ``test``."""
        return np.array([self.labels.index(picture.label) for picture in self.pictures[part]], np.int64)

    def tests(self) -> Iterator[tuple[str, list[Image]]]:
        """Return the test pictures as they are and first shrunk, by name."""
        yield WHOLE, self.images["test"]
        for side in SHRUNK_TO:
            yield f"{side} px", [data.shrunk(image, side) for image in self.images["test"]]


@dataclass(frozen=True, slots=True)
class Plan:
    """Options of the comparison. ``copies`` augmented copies of the training set are drawn from."""

    out: Path
    weights: str | None
    epochs: int
    copies: int
    seed: int


class Cost(NamedTuple):
    """Milliseconds a picture (in batches of 32, resizing included) and size in MB."""

    ms_per_picture: float
    megabytes: float


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """Results of one model. ``matrices`` by test set; ``curve`` is empty for what is not trained in epochs."""

    name: str
    labels: tuple[str, ...]
    matrices: Mapping[str, confusion.Matrix]
    curve: Sequence[Mapping[str, float]]
    train_s: float
    cost: Cost


Predict = Callable[[list[Image]], Floats]
"""Pictures -> probabilities or other scores (n, labels); the largest gives the class."""


def load(folders: Path) -> Sets:
    """Read the class folders; training pictures are divided into train and validation as in all other commands."""
    pictures = tables.read_folders(folders)
    train, validation = data.divide(pictures)
    parts = {"train": train, "validation": validation, "test": [p for p in pictures if p.split == "test"]}
    for part, found in parts.items():
        if not found:
            raise DataError(f"{folders}: no picture is for {part}; give a split.csv (image,label,group,split) in it")
    images = {name: [data.load_image(p.path)[0] for p in data.with_progress(ps, name)] for name, ps in parts.items()}
    return Sets(tuple(sorted({picture.label for picture in pictures})), parts, images)


def compare(sets: Sets, plan: Plan, ours: Model | None = None) -> list[Result]:
    """Train and test all of them, and test ``ours``; write each one's pictures into ``plan.out``."""
    _scikit_learn()  # report a missing library before the work, not after
    plots.check_installed()
    plan.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(plan.seed)
    base = feature_base(plan.weights)
    features = cached_features(base, sets, plan)
    base_cost = Cost(milliseconds(lambda images: _features(base, images), sets), base.count_params() * 4 / 1e6)
    jobs: list[Callable[[], Result]] = [
        functools.partial(train_cnn, "CNN 3x3", 3, sets, plan),
        functools.partial(train_cnn, "CNN 7x7x32", 7, sets, plan),
        functools.partial(train_mobilenet, base, features, sets, plan),
        *(
            functools.partial(fit_sklearn, name, classifier, features, sets, base_cost)
            for name, classifier in _scikit_learn().items()
        ),
    ]
    if ours:
        jobs.append(functools.partial(judge_ours, ours, sets))
    results = []
    for i, job in enumerate(jobs, start=1):
        results.append(job())
        done = results[-1]
        print(f"{i}/{len(jobs)} {done.name}: accuracy {confusion.accuracy(done.matrices[WHOLE]):.4f}", flush=True)
        draw(done, plan.out)
    return results


def draw(result: Result, out: Path) -> None:
    """Write the confusion matrix and, where there is one, the curve of loss and accuracy, as PNG."""
    file, labels = result.name.replace(" ", "-"), result.labels
    plots.confusion_matrix(result.matrices[WHOLE], labels, labels, result.name, out / f"{file}-confusion.png")
    if result.curve:
        plots.training_curves(result.curve, out / f"{file}-curves.png")


# The convolutional networks


def cnn(kernel: int, labels: int) -> keras.Model:
    """Return two convolutions, 32 filters of ``kernel`` and 64 of 3 x 3; input (n, 100, 100, 3) RGB 0..255."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((CNN_SIZE, CNN_SIZE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, kernel, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(50, activation="relu"),
            layers.Dense(labels, activation="softmax"),
        ]
    )


def train_cnn(name: str, kernel: int, sets: Sets, plan: Plan) -> Result:
    """Train on the plain pictures, as its authors do, with Adam at its own rate."""
    model = cnn(kernel, len(sets.labels))
    train, validation = (_stacked(sets.images[part], CNN_SIZE) for part in ("train", "validation"))
    began_s = time.monotonic()
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        train,
        sets.wanted("train"),
        batch_size=BATCH,
        epochs=plan.epochs,
        validation_data=(validation, sets.wanted("validation")),
        verbose=2,
    )
    train_s = time.monotonic() - began_s

    def predict(images: list[Image]) -> Floats:
        return np.asarray(model.predict_on_batch(_stacked(images, CNN_SIZE)))

    cost = Cost(milliseconds(predict, sets), _saved(model, name, sets.labels, plan.out))
    return Result(name, sets.labels, _tested(predict, sets), _rows(history.history), train_s, cost)


def _stacked(images: Sequence[Image], size: int) -> Image:
    return np.stack([data.stretched(image, size) for image in images])


def _rows(history: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    columns = zip(*history.values(), strict=True)
    return [
        {"epoch": float(i), **dict(zip(history, (float(v) for v in values), strict=True))}
        for i, values in enumerate(columns, start=1)
    ]


def _saved(model: keras.Model, name: str, labels: Sequence[str], out: Path) -> float:
    """Save a model for those who want it; returns its file's size in MB (without an optimizer)."""
    path = out / f"{name.replace(' ', '-')}.keras"
    with results.replacing(path) as unfinished:
        model.save(unfinished, include_optimizer=False)
        add_notes(unfinished, {"labels": list(labels), "pixels": "0..255", "colour": "RGB"})
    return path.stat().st_size / 1e6


def _tested(predict: Predict, sets: Sets) -> dict[str, confusion.Matrix]:
    """Return the confusion matrix of every test set."""
    wanted, classes = sets.wanted("test"), len(sets.labels)
    out = {}
    for name, images in sets.tests():
        said = [predict(images[i : i + BATCH]).argmax(axis=1) for i in range(0, len(images), BATCH)]
        out[name] = confusion.confusion(wanted, np.concatenate(said), classes, classes)
    return out


def milliseconds(predict: Callable[[list[Image]], object], sets: Sets) -> float:
    """Return milliseconds a picture, in batches of 32 with resizing; the median of a few batches."""
    batches = [sets.images["test"][i : i + BATCH] for i in range(0, min(len(sets.images["test"]), 5 * BATCH), BATCH)]
    predict(batches[0])  # the first call compiles
    took = []
    for batch in batches:
        began_s = time.monotonic()
        predict(batch)
        took.append(1000 * (time.monotonic() - began_s) / len(batch))
    return float(np.median(took))


# MobileNetV2: features once, then a head


def feature_base(weights: str | None) -> keras.Model:
    """Return frozen MobileNetV2 with 7 x 7 average pooling: (n, 224, 224, 3) RGB 0..255 to features (n, 1280)."""
    base = backbone.mobilenet_v2(BASE_SIZE, weights)
    base.trainable = False
    pooled = keras.layers.AveragePooling2D(7, name="pool")(base.output)
    return keras.Model(base.input, keras.layers.Flatten(name="flatten")(pooled))


def papers_augment(image: Image, rng: augment.Rng) -> Image:
    """Rotate by 20 degrees, zoom by 0.15, move by 0.2, shear by 0.15 at most, and mirror; borders repeated.

    The numbers are those of the papers' ``ImageDataGenerator``.
    """
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(-20, 20)), float(rng.uniform(0.85, 1.15)))
    shear = np.array([[rng.choice([-1.0, 1.0]), np.tan(np.deg2rad(rng.uniform(-0.15, 0.15)))], [0.0, 1.0]])
    centre = np.array([width / 2, height / 2])
    linear = turn[:, :2] @ shear
    shift = centre - linear @ centre + rng.uniform(-0.2, 0.2, 2) * (width, height)
    affine = np.concatenate([linear, shift[:, None]], axis=1)
    return np.asarray(cv2.warpAffine(image, affine, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def cached_features(base: keras.Model, sets: Sets, plan: Plan) -> dict[str, Floats]:
    """Return features (n, 1280) of train, its augmented copies, validation and the tests; kept in ``plan.out``."""
    settings = repr((plan.weights, plan.copies, plan.seed, [p.name for ps in sets.pictures.values() for p in ps]))
    path = plan.out / f"features-{hashlib.sha256(settings.encode()).hexdigest()[:12]}.npz"
    if path.is_file():
        with np.load(path) as arrays:
            print(f"features: as kept in {path}", flush=True)
            return {name: arrays[name] for name in arrays.files}
    features = {part: extract(base, sets.images[part], part) for part in ("train", "validation")}
    rng = np.random.default_rng(plan.seed)
    for copy in range(plan.copies):
        images = [papers_augment(image, rng) for image in sets.images["train"]]
        features[f"train copy {copy}"] = extract(base, images, f"train, augmented {copy + 1}/{plan.copies}")
    features.update({name: extract(base, images, f"test {name}") for name, images in sets.tests()})
    with results.replacing(path) as unfinished:
        np.savez(unfinished, allow_pickle=False, **features)
    return features


def extract(base: keras.Model, images: Sequence[Image], what: str) -> Floats:
    """Return features (n, 1280) of pictures, batch by batch, with progress."""
    out = []
    began_s = time.monotonic()
    for i in range(0, len(images), BATCH):
        out.append(_features(base, images[i : i + BATCH]))
        if i and i % (BATCH * 16) == 0:
            left_s = (time.monotonic() - began_s) / i * (len(images) - i)
            print(f"features, {what}: {i}/{len(images)}, about {left_s:.0f} s left", flush=True)
    return np.concatenate(out)


def _features(model: keras.Model, images: Sequence[Image]) -> Floats:
    return np.asarray(model.predict_on_batch(_stacked(images, BASE_SIZE).astype(np.float32)))


def head(features: int, labels: int) -> keras.Model:
    """Return dense 128, dropout 0.5, softmax on features (n, features)."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((features,)),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(labels, activation="softmax"),
        ]
    )


def train_mobilenet(base: keras.Model, features: Mapping[str, Floats], sets: Sets, plan: Plan) -> Result:
    """Train the head on augmented features, with a new augmented copy of every picture in each epoch."""
    model = head(features["train"].shape[1], len(sets.labels))
    # Keras 2's Adam(lr, decay=lr / epochs), which the papers used: lr / (1 + decay * step).
    rate = keras.optimizers.schedules.InverseTimeDecay(LEARNING_RATE, 1, LEARNING_RATE / plan.epochs)
    model.compile(keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    copies = np.stack([array for name, array in features.items() if name.startswith("train")])
    rng, wanted = np.random.default_rng(plan.seed), sets.wanted("train")
    held = (features["validation"], sets.wanted("validation"))
    rows: list[dict[str, float]] = []
    began_s = time.monotonic()
    for epoch in range(1, plan.epochs + 1):
        drawn = copies[rng.integers(len(copies), size=len(wanted)), np.arange(len(wanted))]
        history = model.fit(drawn, wanted, batch_size=BATCH, validation_data=held, verbose=0).history
        rows.append({**_rows(history)[0], "epoch": float(epoch)})
    train_s = time.monotonic() - began_s
    whole = keras.Model(base.input, model(base.output))
    matrices = _matrices(lambda kept: model.predict(kept, verbose=0).argmax(axis=1), features, sets)
    cost = Cost(
        milliseconds(lambda images: _features(whole, images), sets), _saved(whole, "MobileNetV2", sets.labels, plan.out)
    )
    return Result("MobileNetV2", sets.labels, matrices, rows, train_s, cost)


def _matrices(
    classes_of: Callable[[Floats], Indices], features: Mapping[str, Floats], sets: Sets
) -> dict[str, confusion.Matrix]:
    wanted, classes = sets.wanted("test"), len(sets.labels)
    names = [WHOLE, *(f"{side} px" for side in SHRUNK_TO)]
    return {name: confusion.confusion(wanted, classes_of(features[name]), classes, classes) for name in names}


# scikit-learn


def _scikit_learn() -> dict[str, Any]:
    """Name -> untrained classifier on standardized features."""
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC
    except ImportError as error:
        raise RuntimeMissingError(
            "scikit-learn is missing, one of the papers' classifiers; in fmd's folder: pip install '.[train]'"
        ) from error
    return {
        "SVC": make_pipeline(StandardScaler(), SVC()),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
    }


def fit_sklearn(name: str, classifier: Any, features: Mapping[str, Floats], sets: Sets, base: Cost) -> Result:
    """Fit on the plain features. Time and size include the base that makes the features."""
    began_s = time.monotonic()
    classifier.fit(features["train"], sets.wanted("train"))
    train_s = time.monotonic() - began_s
    matrices = _matrices(classifier.predict, features, sets)
    began_s = time.monotonic()
    classifier.predict(features[WHOLE])
    own_ms = 1000 * (time.monotonic() - began_s) / len(features[WHOLE])
    cost = Cost(base.ms_per_picture + own_ms, base.megabytes + len(pickle.dumps(classifier)) / 1e6)
    return Result(name, sets.labels, matrices, (), train_s, cost)


# Ours, and the table


def judge_ours(ours: Model, sets: Sets) -> Result:
    """Test a classifier bundle on the same pictures; its labels beyond the folders' get columns of their own."""
    labels = ours.contract.labels
    wanted = np.array([labels.index(picture.label) for picture in sets.pictures["test"]], np.int64)
    given = folder_probabilities(sets.pictures["test"], ours)
    matrices = {
        name.removeprefix("shrunk to "): confusion.confusion(wanted, p.argmax(axis=1), len(labels), len(labels))
        for name, p in given.items()
    }

    def classify(images: list[Image]) -> object:
        return [ours.run(data.stretched(image, ours.contract.input.width)) for image in images]

    cost = Cost(milliseconds(classify, sets), Path(ours.source).stat().st_size / 1e6)
    return Result("ours", labels, matrices, (), float("nan"), cost)


def table(results: Sequence[Result]) -> list[dict[str, str]]:
    """Return a row for each model and class; figures of the whole model are in its first row."""
    rows = []
    for result in results:
        whole = {
            "accuracy": f"{confusion.accuracy(result.matrices[WHOLE]):.4f}",
            **{f"accuracy {n} px": f"{confusion.accuracy(result.matrices[f'{n} px']):.4f}" for n in SHRUNK_TO},
            "train s": "-" if math.isnan(result.train_s) else f"{result.train_s:.1f}",
            "ms/picture": f"{result.cost.ms_per_picture:.2f}",
            "MB": f"{result.cost.megabytes:.2f}",
        }
        for found in confusion.class_scores(result.matrices[WHOLE], result.labels):
            shares = {"precision": found.precision, "recall": found.recall, "f1": found.f1}
            of_class = {"class": found.label, **{k: f"{v:.4f}" for k, v in shares.items()}}
            rows.append({"model": result.name, **of_class, "support": str(found.support), **whole})
            whole = dict.fromkeys(whole, "")
    return rows


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the rows as a markdown table."""
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *([row[c] for c in COLUMNS] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def write_table(rows: Sequence[Mapping[str, str]], out: Path) -> None:
    """Write ``comparison.csv`` and ``comparison.md``."""
    results.write_csv(out / "comparison.csv", COLUMNS, [[row.get(name, "") for name in COLUMNS] for row in rows])
    results.write_text(out / "comparison.md", markdown(rows))

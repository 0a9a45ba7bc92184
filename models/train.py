"""Training runs: the same shape for detector and classifier, resumable, with progress and curves."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge.contracts import Box, Floats, Image
from edge.detect import cell_centres, decode, letterbox, non_maximum_suppression
from edge.errors import DataError
from models import backbone, classifier, data, detector, score

FREEZE_UNTIL = "block_2_add"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a run is made of. ``steps`` batches make an epoch; the learning rate decays as a cosine to 0."""

    out: Path
    size: int
    batch: int
    epochs: int
    steps: int
    learning_rate: float
    seed: int
    weights: str | None
    resume: bool


class Batches(keras.utils.PyDataset):
    """``steps`` batches an epoch of ``draw(rng) -> (input, target)``; sample k of epoch e is the same in every run."""

    def __init__(self, recipe: Recipe, draw: Callable[[np.random.Generator], tuple[Image, Any]]) -> None:
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        self._recipe, self._draw, self._epoch = recipe, draw, 0

    def __len__(self) -> int:
        return self._recipe.steps

    def __getitem__(self, index: int) -> tuple[Floats, Any]:
        rng = np.random.default_rng([self._recipe.seed, self._epoch, index])
        drawn = [self._draw(rng) for _ in range(self._recipe.batch)]
        return np.stack([d[0] for d in drawn]).astype(np.float32), np.stack([d[1] for d in drawn])

    def on_epoch_end(self) -> None:
        self._epoch += 1


class Best(keras.callbacks.Callback):
    """After each epoch: measure on validation, keep the best weights as a .keras file, write the curve, say it."""

    def __init__(self, recipe: Recipe, shipped: keras.Model, measure: Callable[[], dict[str, float]], by: str) -> None:
        super().__init__()
        self._recipe, self._shipped, self._measure, self._by = recipe, shipped, measure, by
        self._curve = recipe.out / "curve.csv"
        self._best = -math.inf
        if recipe.resume and self._curve.is_file():
            with self._curve.open(newline="", encoding="utf-8") as handle:
                self._best = max((float(row[by]) for row in csv.DictReader(handle)), default=-math.inf)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        measured = {k: v for k, v in self._measure().items() if isinstance(v, float)}
        row = {"epoch": epoch + 1, "loss": float((logs or {}).get("loss", math.nan)), **measured}
        new = not self._curve.is_file()
        with self._curve.open("a", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, row)
            if new:
                writer.writeheader()
            writer.writerow({k: round(v, 5) for k, v in row.items()})
        better = measured[self._by] > self._best
        if better:
            self._best = measured[self._by]
            self._shipped.save(self._recipe.out / "best.keras", include_optimizer=False)
        said = "  ".join(f"{k} {v:.4f}" for k, v in row.items() if k != "epoch")
        print(f"\nepoch {epoch + 1}/{self._recipe.epochs}: {said}{'  <- best' if better else ''}", flush=True)


def fit(
    recipe: Recipe,
    training: keras.Model,
    shipped: keras.Model,
    loss: Any,
    batches: Batches,
    measure: Callable[[], dict[str, float]],
    by: str,
) -> Path:
    """Train, keep the best by ``by`` on validation; returns the path of the best ``.keras``.

    A run that was interrupted goes on where it stood with ``resume``; without it the folder must be empty.
    """
    recipe.out.mkdir(parents=True, exist_ok=True)
    if not recipe.resume and (recipe.out / "curve.csv").exists():
        raise DataError(f"{recipe.out}: holds an earlier run; give --resume to go on with it, or another --out")
    warmup = min(300, recipe.epochs * recipe.steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, recipe.epochs * recipe.steps - warmup, warmup_target=recipe.learning_rate, warmup_steps=warmup
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-3, clipnorm=5.0, use_ema=True, ema_momentum=0.998)
    training.compile(optimizer, loss=loss)
    training.fit(
        batches,
        epochs=recipe.epochs,
        verbose=2,
        callbacks=[
            # In this order: the backup holds the raw weights, the measure sees their moving average.
            keras.callbacks.BackupAndRestore(str(recipe.out / "backup"), delete_checkpoint=False),
            keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            Best(recipe, shipped, measure, by),
        ],
    )
    return recipe.out / "best.keras"


def train_detector(recipe: Recipe, tables: Sequence[Sequence[data.Picture]]) -> Path:
    """Train the face detector on tables of pictures with boxes; returns the best ``.keras``.

    Every table is drawn from equally often; validation is on the first one's.
    """
    keras.utils.set_random_seed(recipe.seed)
    parts = [data.divide(table) for table in tables]
    train = [[data.load_faces(p) for p in data.with_progress(part, "reading")] for part, _ in parts]
    validation = [data.load_faces(p) for p in parts[0][1]]
    print(f"{[len(t) for t in train]} pictures to train on, {len(validation)} to validate on", flush=True)
    training, shipped = detector.build(recipe.size, recipe.weights)
    backbone.freeze_until(training, FREEZE_UNTIL)

    def draw(rng: np.random.Generator) -> tuple[Image, Floats]:
        image, faces = detector.sample(train, recipe.size, rng)
        return image, detector.targets(faces, recipe.size)

    fitted = [letterbox(image, recipe.size, recipe.size) for image, _ in validation]
    inputs = np.stack([image for image, _ in fitted])
    centres, strides = cell_centres(recipe.size, recipe.size, detector.STRIDES)

    def measure() -> dict[str, float]:
        raw = training.predict(inputs, batch_size=recipe.batch, verbose=0)
        predicted = {}
        for i, (_, fit_) in enumerate(fitted):
            scores = 1 / (1 + np.exp(-raw[i, :, 0]))
            kept = np.flatnonzero(scores > 0.05)
            boxes = decode(raw[i, kept, 1:], centres[kept], strides[kept])
            boxes = (boxes - np.array([fit_.x_offset, fit_.y_offset] * 2)) / fit_.scale
            best = non_maximum_suppression(boxes, scores[kept], 0.45)
            predicted[str(i)] = [score.Predicted(Box(*boxes[k]), float(scores[kept[k]])) for k in best]
        truth = {str(i): faces for i, (_, faces) in enumerate(validation)}
        found = score.summary(score.match(truth, predicted))
        return {k: v for k, v in found.items() if k.startswith(("average", "recall"))}

    return fit(recipe, training, shipped, detector.loss, Batches(recipe, draw), measure, "average_precision")


def examples_of(pictures: Sequence[data.Picture], labels: Sequence[str]) -> list[classifier.Example]:
    """Faces to learn from pictures of both kinds, left out where under 12 pixels or of a label not in ``labels``."""
    out = []
    for picture in data.with_progress(pictures, "reading"):
        image, faces = data.load_faces(picture)
        if picture.label in labels:
            out.append(classifier.Example(image, None, labels.index(picture.label)))
        out += [
            classifier.Example(image, face.box, labels.index(face.label))
            for face in faces
            if face.label in labels and face.box.width >= 12
        ]
    return out


def train_classifier(recipe: Recipe, pictures: Sequence[data.Picture], labels: Sequence[str], one_neuron: bool) -> Path:
    """Train the mask classifier; ``one_neuron`` gives a sigmoid for the second of two labels."""
    keras.utils.set_random_seed(recipe.seed)
    train_pictures, validation_pictures = data.divide(pictures)
    train, validation = examples_of(train_pictures, labels), examples_of(validation_pictures, labels)
    print(f"{len(train)} faces to train on, {len(validation)} to validate on", flush=True)
    model = classifier.build(recipe.size, recipe.weights, 1 if one_neuron else len(labels))
    chances = np.cumsum(classifier.sampling_weights([e.label for e in train]))
    bare = labels.index("without_mask") if "without_mask" in labels else -1

    def draw(rng: np.random.Generator) -> tuple[Image, Floats]:
        example = train[min(int(np.searchsorted(chances, rng.random())), len(train) - 1)]
        target = [float(example.label)] if one_neuron else np.eye(len(labels))[example.label]
        return classifier.sample(example, recipe.size, bare, rng), np.asarray(target, np.float32)

    inputs = np.stack([classifier.crop(e, recipe.size) for e in validation])
    wanted = np.array([e.label for e in validation])

    def measure() -> dict[str, float]:
        out = model.predict(inputs, batch_size=128, verbose=0)
        got = (out[:, 0] > 0.5).astype(int) if one_neuron else out.argmax(axis=1)
        recalls = {f"recall_{label}": float((got == wanted)[wanted == i].mean()) for i, label in enumerate(labels)}
        return {
            "accuracy": float((got == wanted).mean()),
            "mean_recall": float(np.mean(list(recalls.values()))),
            **recalls,
        }

    smoothing = 0.05
    loss = (
        keras.losses.BinaryCrossentropy(label_smoothing=smoothing)
        if one_neuron
        else keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    )
    return fit(recipe, model, model, loss, Batches(recipe, draw), measure, "mean_recall")

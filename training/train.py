"""Training runs of detector and classifier: resumable, with progress and curves."""

from __future__ import annotations

import datetime
import importlib.metadata
import math
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from converter import tables
from converter.keras_files import noting
from edge.contracts import WITHOUT_MASK, Box, Floats, Image
from edge.errors import DataError
from edge.stages.detect import MAX_IOU, STRIDES, Letterbox, cell_centres, decode, faces_among, letterbox, reach_of
from training import (
    backbone,
    classifier,
    data,
    detector,
    fake_quant,
    machine,
    negatives,
    results,
    score,
    teacher,
    tracking,
)

FREEZE_UNTIL = "block_2_add"
LOWEST_SCORE = 0.05
"""Lowest score of the faces that validation counts."""
SMALLEST_CROP = 12.0
"""Faces narrower than this, in pixels, teach the classifier nothing."""
LANDMARK_SIDE = 640
"""Longest side, pixels, at which landmarks are sought: the side that pictures are cut to."""
LABEL_SMOOTHING = 0.05
TAUGHT = 0.6
"""Share of a teacher's answer in what is learnt; the rest is the label."""
RANGE_CROPS = 256
"""Crops that activation ranges are measured on before training with rounding."""

Measure = Callable[[], dict[str, float]]
"""Function that returns a network's figures on the validation split, by name."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a run. ``steps`` batches make an epoch; the learning rate decays as a cosine to 0.

    ``patience`` ends the run after that many epochs in a row without a better one; 0 never does, which suits a
    cosine: its best epochs are its last. ``track`` names backends of :data:`training.tracking.BACKENDS`. ``start`` is
    an earlier run's ``.keras`` to begin with; ``rounding`` trains with int8's rounding
    (:mod:`training.fake_quant`); ``frozen`` trains what follows the backbone and nothing else.
    """

    out: Path
    size: int
    batch: int
    epochs: int
    steps: int
    learning_rate: float
    seed: int
    weights: str | None
    resume: bool
    start: Path | None = None
    rounding: bool = False
    frozen: bool = False
    patience: int = 0
    track: tuple[str, ...] = ()


class Batches(keras.utils.PyDataset):
    """``steps`` batches an epoch of ``draw(rng) -> (input, target)``; sample k of epoch e is the same in every run.

    With ``teach`` a sample's third part is what a teacher sees of it; ``teach`` takes those and the targets of a batch,
    and returns the targets that replace them.
    """

    def __init__(
        self,
        recipe: Recipe,
        draw: Callable[[np.random.Generator], tuple[Any, ...]],
        teach: Callable[[Floats, Floats], Floats] | None = None,
    ) -> None:
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        self._recipe, self._draw, self._teach = recipe, draw, teach
        self.epoch = 1

    def __len__(self) -> int:
        return self._recipe.steps

    def __getitem__(self, index: int) -> tuple[Floats, Any]:
        rng = np.random.default_rng([self._recipe.seed, self.epoch, index])
        drawn = [self._draw(rng) for _ in range(self._recipe.batch)]
        inputs, targets, *seen = (np.stack(part) for part in zip(*drawn, strict=True))
        if self._teach is not None:
            targets = self._teach(seen[0].astype(np.float32), targets)
        return inputs.astype(np.float32), targets


class Best(keras.callbacks.Callback):
    """After each epoch: measure on validation, keep the best and the last weights as .keras files, log the numbers."""

    def __init__(
        self,
        recipe: Recipe,
        save: Callable[[Path], None],
        measure: Measure,
        by: str,
        logger: tracking.ExperimentLogger,
    ) -> None:
        super().__init__()
        self._recipe, self._save, self._measure, self._by, self._logger = recipe, save, measure, by, logger
        self._machine = machine.Machine()
        self._reached = [row[by] for row in tracking.read_curve(recipe.out)]
        self._began_s = 0.0
        self._took_s: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._began_s = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        measured = {k: v for k, v in self._measure().items() if isinstance(v, float)}
        better = measured[self._by] > max(self._reached, default=-math.inf)
        self._reached.append(measured[self._by])
        # The last epoch of a cosine is often the better one at the door, where nothing is measured by likelihood.
        self._save(self._recipe.out / "last.keras")
        if better:
            self._save(self._recipe.out / "best.keras")
        self._took_s.append(time.monotonic() - self._began_s)
        row = {"loss": float((logs or {}).get("loss", math.nan)), **measured}
        self._logger.log(epoch + 1, {**row, "seconds": self._took_s[-1], **self._machine.read()})
        said = "  ".join(f"{k} {v:.4f}" for k, v in row.items())
        print(f"\nepoch {epoch + 1}/{self._recipe.epochs}: {said}{'  <- best' if better else ''}", flush=True)
        print(progress(self._took_s, self._recipe.epochs - epoch - 1), flush=True)
        if worn_out(self._reached, self._recipe.patience):
            print(f"no better epoch in {self._recipe.patience}: stopping here (--patience)", flush=True)
            self.model.stop_training = True


class Reseed(keras.callbacks.Callback):
    """Before each epoch: seed samples and dropout from seed and epoch. Keras backs up all of a run but these."""

    def __init__(self, recipe: Recipe, batches: Batches) -> None:
        super().__init__()
        self._recipe, self._batches = recipe, batches

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._batches.epoch = epoch + 1
        for i, layer in enumerate(self.model.layers):
            if hasattr(layer, "seed_generator"):
                # A seed and a counter that goes up by one a batch.
                layer.seed_generator.state.assign([self._recipe.seed + i, epoch * self._recipe.steps])


def worn_out(reached: Sequence[float], patience: int) -> bool:
    """Return whether the last ``patience`` epochs were no better than those before; never for 0."""
    return 0 < patience < len(reached) and max(reached[-patience:]) <= max(reached[:-patience])


def progress(took_s: Sequence[float], left: int) -> str:
    """Return how long epochs take and the rest will. The median ignores the first one, which compiles the graph."""
    seconds = float(np.median(took_s))
    return (
        f"{took_s[-1]:.1f} s this epoch, {left} to go: about {datetime.timedelta(seconds=round(seconds * left))} left"
    )


def write_run(recipe: Recipe) -> None:
    """Write ``run.json``: the command, the recipe and the versions that made this run, for the model card."""
    versions = {"python": platform.python_version(), "keras": keras.__version__, "numpy": np.__version__}
    record = {
        "command": shlex.join(["fmd-train", *sys.argv[1:]]),
        "recipe": {k: v if isinstance(v, int | float | bool | None) else str(v) for k, v in asdict(recipe).items()},
        "versions": {**versions, "tensorflow": importlib.metadata.version("tensorflow")},
    }
    results.write_json(recipe.out / tracking.RUN_NAME, record)


def fit(
    recipe: Recipe,
    training: keras.Model,
    save: Callable[[Path], None],
    loss: Any,
    batches: Batches,
    measure: Measure,
    by: str,
) -> Path:
    """Train, keep the best by ``by`` on validation; return the path of the best ``.keras``.

    With ``resume`` an interrupted run continues at the start of its unfinished epoch, with the weights, moving average,
    optimizer and samples that it would have had. Without it the folder must hold no run. An epoch that was
    interrupted while it was measured lacks its row in the curve.
    """
    backup = recipe.out / "backup"
    if not recipe.resume and ((recipe.out / tracking.CURVE_NAME).exists() or backup.exists()):
        raise DataError(f"{recipe.out}: holds an earlier run; give --resume to go on with it, or another --out")
    recipe.out.mkdir(parents=True, exist_ok=True)
    logger = tracking.ExperimentLoggers(recipe.track, recipe.out)
    logger.start(recipe.out.name, {k: v if isinstance(v, int | float) else str(v) for k, v in asdict(recipe).items()})
    write_run(recipe)
    training.compile(optimizer_of(recipe), loss=loss)
    try:
        training.fit(
            batches,
            epochs=recipe.epochs,
            verbose=2,
            shuffle=False,  # samples are drawn at random anyhow, and the order would not survive --resume
            callbacks=[
                # In this order: the backup holds the raw weights, the measure sees their moving average.
                # Double, as a power cut while it is written would take the whole run along.
                keras.callbacks.BackupAndRestore(str(backup), double_checkpoint=True, delete_checkpoint=False),
                keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
                Reseed(recipe, batches),
                Best(recipe, save, measure, by, logger),
            ],
        )
    except KeyboardInterrupt:
        print(f"\n{recipe.out}: go on with this run by the same command and --resume", file=sys.stderr)
        raise
    finally:
        logger.close()
    return recipe.out / "best.keras"


def optimizer_of(recipe: Recipe) -> keras.optimizers.Optimizer:
    """Return AdamW with a moving average of the weights, a warm-up, and a learning rate that decays as a cosine."""
    warmup = min(300, recipe.epochs * recipe.steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, recipe.epochs * recipe.steps - warmup, warmup_target=recipe.learning_rate, warmup_steps=warmup
    )
    return keras.optimizers.AdamW(schedule, weight_decay=1e-3, clipnorm=5.0, use_ema=True, ema_momentum=0.998)


def train_detector(
    recipe: Recipe, tables: Sequence[Sequence[tables.Picture]], mined: Sequence[tables.Picture] = ()
) -> Path:
    """Train the face detector on tables of pictures with boxes; return the best ``.keras``.

    Every table is drawn from equally often; validation is on the first one's. ``mined`` are hard negatives in the
    tables' pictures (:mod:`training.negatives`).
    """
    keras.utils.set_random_seed(recipe.seed)
    parts = [data.divide(table) for table in tables]
    train = [
        [data.load_faces(p) for p in data.with_progress(negatives.added(part, mined), "reading")] for part, _ in parts
    ]
    validation = [data.load_faces(p) for p in parts[0][1]]
    _check_enough(train[0], validation)
    print(f"{[len(t) for t in train]} pictures to train on, {len(validation)} to validate on", flush=True)
    training, shipped = begun_detector(recipe)
    backbone.freeze_until(training, FREEZE_UNTIL)

    def draw(rng: np.random.Generator) -> tuple[Image, Floats]:
        image, faces = detector.sample(train, recipe.size, rng)
        return image, detector.targets(faces, recipe.size)

    measure = detector_measure(training, validation, recipe)
    return fit(
        recipe,
        training,
        saver(shipped, rounded=False),
        detector.loss,
        Batches(recipe, draw),
        measure,
        "average_precision",
    )


def begun_detector(recipe: Recipe) -> tuple[keras.Model, keras.Model]:
    """Return the network (for training, for shipping): a new one, or an earlier run's, which may be thinner."""
    if recipe.start is None:
        return detector.build(recipe.size, recipe.weights)
    shipped = detector.resized(load_detector(recipe.start, "--start"), recipe.size, recipe.size)
    return detector.for_training(shipped), shipped


def _check_is_there(path: Path, option: str) -> None:
    if not path.is_file():
        raise DataError(f"{option} {path}: no such file; give the best.keras of an earlier run")


def load_network(path: Path, option: str) -> keras.Model:
    """Return a network that a run saved. Raises DataError, naming ``option``, where the file holds none."""
    _check_is_there(path, option)
    try:
        return keras.saving.load_model(path, compile=False)
    except ValueError as error:
        raise DataError(f"{option} {path}: not a Keras model: {str(error).splitlines()[0]}") from error


def load_detector(path: Path, option: str) -> keras.Model:
    """Return a detector that a run saved. Raises DataError, naming ``option``, where the file is none."""
    model = load_network(path, option)
    if not {"logits", "boxes"} <= {layer.name for layer in model.layers}:
        raise DataError(f"{option} {path}: not a network of this kind: got {model.name}, expected a fmd_face_detector")
    return model


def detector_measure(training: keras.Model, validation: Sequence[detector.Sample], recipe: Recipe) -> Measure:
    """Return a measure of average precision and recall on whole pictures, letterboxed as at the door."""
    fitted = [letterbox(image, recipe.size, recipe.size) for image, _ in validation]
    inputs = np.stack([image for image, _ in fitted])
    truth = {str(i): faces for i, (_, faces) in enumerate(validation)}

    def measure() -> dict[str, float]:
        raw = training.predict(inputs, batch_size=recipe.batch, verbose=0)
        predicted = {str(i): _decoded(raw[i], fit_, recipe.size) for i, (_, fit_) in enumerate(fitted)}
        found = score.summary(score.match(truth, predicted))
        return {k: v for k, v in found.items() if k.startswith(("average", "recall"))}

    return measure


def _decoded(raw: Floats, fit_: Letterbox, size: int) -> list[score.Predicted]:
    """Return faces in pixels of the picture, from the training network's output (cells, 5) for it."""
    scores = np.asarray(1 / (1 + np.exp(-raw[:, 0])), np.float32)
    kept = np.flatnonzero(scores > LOWEST_SCORE)
    centres, strides = cell_centres(size, size, STRIDES)
    found = faces_among(decode(reach_of(raw[kept, 1:]), centres[kept], strides[kept]), scores[kept], MAX_IOU)
    offsets = (fit_.x_offset, fit_.y_offset) * 2
    return [
        score.Predicted(Box(*((x - offset) / fit_.scale for x, offset in zip(box, offsets, strict=True))), one)
        for box, one in found
    ]


def _check_enough(train: Sequence[object], validation: Sequence[object]) -> None:
    if not train or not validation:
        raise DataError(
            f"{len(train)} to train on and {len(validation)} to validate on; expected some of both: about one group in "
            f'{round(1 / data.VALIDATION_SHARE)} of the split "train" is kept for validation, so give more pictures'
        )


def examples_of(
    pictures: Sequence[tables.Picture], labels: Sequence[str], landmarks_by: Path | None = None
) -> list[classifier.Example]:
    """Return faces to learn from pictures of both kinds, without those under 12 pixels or of a label not in ``labels``.

    Faces without a mask get the landmarks that the teacher ``landmarks_by`` (YuNet .onnx) finds. A picture that
    several tables name is read once.
    """
    look = teacher.open_teacher(landmarks_by) if landmarks_by else None
    images: dict[Path, tuple[Image, float]] = {}
    marks: dict[Path, list[teacher.TaughtFace]] = {}
    out = []
    for picture in data.with_progress(pictures, "reading"):
        path = picture.path.resolve()
        if path not in images:
            images[path] = data.load_image(path)
        image, faces = data.load_faces(picture, images[path])
        if picture.label in labels:
            out.append(classifier.Example(image, None, labels.index(picture.label)))
        asked = [face for face in faces if face.label in labels and face.box.width >= SMALLEST_CROP]
        if look is not None and path not in marks and any(face.label == WITHOUT_MASK for face in asked):
            marks[path] = teacher.look_closely(look, image, LANDMARK_SIDE)
        for face in asked:
            found = _landmarks_of(face, marks.get(path, [])) if face.label == WITHOUT_MASK else None
            out.append(classifier.Example(image, face.box, labels.index(face.label), found))
    return out


def _landmarks_of(face: tables.LabelledFace, found: Sequence[teacher.TaughtFace]) -> npt.NDArray[np.float64] | None:
    best = max(found, key=lambda taught: taught.box.iou(face.box), default=None)
    if best is None or best.score < teacher.SURE or best.box.iou(face.box) < score.MIN_IOU:
        return None
    return best.landmarks


def train_classifier(
    recipe: Recipe,
    pictures: Sequence[tables.Picture],
    labels: Sequence[str],
    one_neuron: bool,
    landmarks_by: Path | None = None,
    teacher_path: Path | None = None,
    lite: bool = False,
) -> Path:
    """Train the mask classifier; ``one_neuron`` gives a sigmoid for the second of two labels.

    ``landmarks_by`` is a YuNet .onnx by whose landmarks masks are drawn onto faces without one. ``teacher_path`` is a
    larger network's ``.keras`` with the same labels, whose answers are learnt beside them. ``lite`` trains an
    EfficientNet-Lite.
    """
    keras.utils.set_random_seed(recipe.seed)
    train_pictures, validation_pictures = data.divide(pictures)
    train = examples_of(train_pictures, labels, landmarks_by)
    validation = examples_of(validation_pictures, labels)
    _check_enough(train, validation)
    print(f"{len(train)} faces to train on, {len(validation)} to validate on", flush=True)
    model = classifier.build(recipe.size, recipe.weights, 1 if one_neuron else len(labels), lite=lite)
    begin_with(recipe.start, model)
    if recipe.frozen:
        backbone.freeze_until(model, classifier.POOL)
    training = with_rounding(model, train, recipe) if recipe.rounding else model
    chances = np.cumsum(classifier.sampling_weights([e.label for e in train]))
    taught_by = load_teacher(teacher_path, model) if teacher_path else None

    def draw(rng: np.random.Generator) -> tuple[Any, ...]:
        example = train[min(int(np.searchsorted(chances, rng.random())), len(train) - 1)]
        seed = int(rng.integers(2**63))
        image, label = classifier.sample(example, recipe.size, labels, np.random.default_rng(seed))
        target = np.asarray([float(label)] if one_neuron else np.eye(len(labels))[label], np.float32)
        if taught_by is None:
            return image, target
        # The same view, at the resolution that the teacher was trained at.
        return image, target, classifier.sample(example, taught_by.side, labels, np.random.default_rng(seed))[0]

    losses = keras.losses.BinaryCrossentropy, keras.losses.CategoricalCrossentropy
    loss = losses[0 if one_neuron else 1](label_smoothing=LABEL_SMOOTHING)
    measure = classifier_measure(training, validation, labels, recipe.size)
    # For fmd-convert, which would have to guess them.
    save = noting(saver(model, recipe.rounding), {"labels": list(labels), "pixels": "0..255", "colour": "RGB"})
    teach = taught_by.answer if taught_by else None
    return fit(recipe, training, save, loss, Batches(recipe, draw, teach), measure, "likelihood")


class Teacher:
    """A larger trained network, which a smaller one learns from (distillation: Hinton et al. 2015, arXiv:1503.02531).

    ``side`` is the height and width of its input, pixels.
    """

    def __init__(self, network: keras.Model) -> None:
        # As a graph: batches are made in several threads, and layer by layer takes twice as long.
        self._say = tf.function(lambda seen: network(seen, training=False))
        self.side = int(network.input_shape[1])

    def answer(self, seen: Floats, targets: Floats) -> Floats:
        """Return targets (n, labels), of which the share :data:`TAUGHT` is the teacher's.

        ``seen`` (n, side, side, 3) RGB 0..255 is what the targets are of.
        """
        said = np.asarray(self._say(seen)).reshape(targets.shape)
        return np.asarray(TAUGHT * said + (1 - TAUGHT) * targets, np.float32)


def load_teacher(path: Path, student: keras.Model) -> Teacher:
    """Return the teacher in a ``.keras`` file. Raises DataError where it does not judge the student's labels."""
    network = load_network(path, "--teacher")
    shape, wanted = network.output_shape, student.output_shape
    if shape != wanted or len(network.input_shape) != 4:
        raise DataError(f"--teacher {path}: got an output of {shape}, expected {wanted}; train it with the same labels")
    return Teacher(network)


def begin_with(start: Path | None, model: keras.Model) -> None:
    """Give ``model`` the weights of an earlier run's ``.keras``, of any input size.

    A classifier with more labels than that run's keeps its own weights for the additional ones.
    """
    if start is None:
        return
    _check_is_there(start, "--start")
    try:
        given = keras.saving.load_model(start, compile=False).get_weights()
        head = [_grown(old, new) for old, new in zip(given[-2:], model.get_weights()[-2:], strict=True)]
        model.set_weights(given[:-2] + head)
    except ValueError as error:
        said = str(error).split("\n")[0]
        raise DataError(f"--start {start}: not a network of this kind: {said}; expected a {model.name}") from error


def _grown(old: Floats, new: Floats) -> Floats:
    """Return ``old``, extended by what ``new`` has beyond it along the last axis."""
    missing = new[..., old.shape[-1] :]
    return np.concatenate([old, missing], axis=-1) if missing.size and old.shape[:-1] == new.shape[:-1] else old


def saver(model: keras.Model, rounded: bool) -> Callable[[Path], None]:
    """Return a function that saves ``model`` for conversion: without its optimizer, weights ``rounded`` if true."""

    def save(path: Path) -> None:
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        if rounded:
            fake_quant.bake(copy)
        with results.replacing(path) as unfinished:
            copy.save(unfinished)

    return save


def with_rounding(model: keras.Model, train: Sequence[classifier.Example], recipe: Recipe) -> keras.Model:
    """Return the network as its int8 file will compute it; :data:`RANGE_CROPS` training crops set the ranges."""
    rng = np.random.default_rng(recipe.seed)
    chosen = rng.choice(len(train), min(RANGE_CROPS, len(train)), replace=False)
    crops = np.stack([classifier.crop(train[i], recipe.size) for i in chosen]).astype(np.float32)
    return fake_quant.with_rounding(model, fake_quant.measure_ranges(model, crops))


def classifier_measure(
    model: keras.Model, validation: Sequence[classifier.Example], labels: Sequence[str], size: int
) -> Measure:
    """Return a measure of likelihood, accuracy and recall by label, on crops as the runtime cuts them."""
    inputs = np.stack([classifier.crop(e, size) for e in validation])
    wanted = np.array([e.label for e in validation])

    def measure() -> dict[str, float]:
        out = model.predict(inputs, batch_size=128, verbose=0)
        if out.shape[1] == 1:
            out = np.concatenate([1 - out, out], axis=1)
        right = wanted == out.argmax(axis=1)
        # Of all figures the least noisy where a class has a few dozen examples; so epochs are chosen by it. Labels
        # weigh alike: of what is no face there are as many examples as anyone cares to mine.
        logs = np.log(np.maximum(out[np.arange(len(out)), wanted], 1e-9))
        likelihood = float(np.exp(np.mean([logs[wanted == i].mean() for i in np.unique(wanted)])))
        recalls = {f"recall_{labels[i]}": float(right[wanted == i].mean()) for i in np.unique(wanted)}
        mean_recall = float(np.mean(list(recalls.values())))
        return {"accuracy": float(right.mean()), "likelihood": likelihood, "mean_recall": mean_recall, **recalls}

    return measure

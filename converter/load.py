"""A file or folder -> Source: reads what Keras 3, Keras 2 and TensorFlow save, by content and not by ending.

Keras 3 reads its own files here, Keras 2's are read by tf_keras in a child process (:mod:`converter.legacy`), whose
export is read like any SavedModel. No Python code of a model file is run unless the user allows it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from converter import child, legacy
from converter.heatmap import mapped_model
from converter.keras_files import config_of, loading_error, notes_of, objects_of, refuse_code
from converter.noise import ProgressLine, quiet
from converter.options import typed
from converter.recognise import kind_of
from converter.saved_model import load_signature
from converter.structure import Structure, in_float32, leaves, structure_of
from edge.contracts import Floats, Image
from edge.errors import ConversionError
from edge.stages.detect import STRIDES

MAX_LABELS = 20
"""A classifier with more outputs than this was not trained on masks."""
BATCH = 8
"""Pictures a float inference takes at once; more is no faster on a few cores and needs that much more memory."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read a model file: the user's options, and the limits of the child process that may be needed."""

    allow_code: bool = False
    custom_objects: Path | None = None
    size: tuple[int, int] | None = None
    heatmap: bool = False
    limits: child.Limits = field(default_factory=child.Limits)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A model that was read, and what it takes and gives.

    ``forward`` maps a float32 tensor (n, height, width, channels), pixels as the model wants them, to its output
    tensors: a classifier's (n, neurons), or a detector's scores (n, cells, 1) and boxes (n, cells, 4) in this order.
    ``compiled`` is the same as a graph, which takes ``batch`` pictures at once. ``model`` keeps what it needs alive.
    ``notes`` are what fmd-train wrote into the file.
    """

    path: Path
    sha256: str
    made_by: str
    height: int
    width: int
    channels: int
    batch: int
    task: Literal["classifier", "detector"]
    neurons: int
    structure: Structure
    forward: Callable[[Any], tuple[Any, ...]]
    compiled: Any
    model: Any
    notes: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, pixels: Floats | Image, prepared: Callable[[Any], Floats] = lambda batch: batch) -> list[Floats]:
        """Outputs of (n, height, width, channels) pixels; float32, first axis n.

        ``prepared`` turns a batch of bytes into what the model wants: batch by batch, because all pictures of a proof
        as floats, and their activations, are most of what a conversion would need in memory.
        """
        parts: list[list[Floats]] = []
        for i in range(0, len(pixels), self.batch):
            batch = np.asarray(prepared(pixels[i : i + self.batch]), np.float32)
            # Every batch has one size: TensorFlow would trace the graph again for the last.
            filled = np.concatenate([batch, np.repeat(batch[-1:], self.batch - len(batch), axis=0)])
            parts.append([out.numpy()[: len(batch)] for out in self.compiled(filled)])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]


def load(path: Path, reading: Reading | None = None, progress: ProgressLine | None = None) -> Source:
    """Read a ``.keras``, HDF5 or SavedModel.

    Raises ConversionError where there is no model to read, or one that is not a mask classifier or fmd's own detector.
    """
    reading, progress = reading or Reading(), progress or ProgressLine(None)
    kind = kind_of(path)
    if kind == "saved_model":
        if reading.heatmap:
            raise ConversionError(f"--heatmap: {path} is a SavedModel, whose layers are gone; give the .keras or .h5")
        return _described_signature(path, path, reading, None, "")
    config, version = config_of(path, kind)
    if not reading.allow_code:
        refuse_code(path, config)
    if version.startswith("3"):
        return _described_keras(path, *_load_keras(path, kind, reading), version, reading)
    if not version:  # written by hand or by a tool; Keras 3 is asked first
        try:
            return _described_keras(path, *_load_keras(path, kind, reading), version, reading)
        except ConversionError:
            if not legacy.is_installed():
                raise
    if not legacy.is_installed():
        raise ConversionError(
            f"{path}: was saved by Keras {version}, which tf_keras reads; install it: pip install tf_keras"
        )
    return _load_keras_2(path, kind, version, reading, progress)


def _load_keras(path: Path, kind: str, reading: Reading) -> tuple[Any, Structure]:
    with quiet():
        import keras

    ending = ".keras" if kind == "keras" else ".h5"
    with tempfile.TemporaryDirectory() as folder, quiet():
        # Keras goes by the ending; the tutorials' mask_detector.model is HDF5.
        named = Path(folder) / f"model{ending}"
        named.symlink_to(path.resolve())
        # What Keras writes for activation=tf.nn.softmax and tf.nn.swish, and does not read again.
        own = {"softmax_v2": keras.activations.softmax, "swish": keras.activations.silu}
        objects = {**own, **objects_of(reading.custom_objects)}
        try:
            model = keras.saving.load_model(
                named, custom_objects=objects, compile=False, safe_mode=not reading.allow_code
            )
            _refuse_quantized(path, model)
            model = in_float32(model, keras)
        except ConversionError:
            raise
        # Keras raises whatever its layers raise; every one means that this file cannot be read.
        except Exception as error:
            raise loading_error(path, error) from error
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise ConversionError(
                f"{path}: the weights of {weight.path} hold NaN or infinity; the training diverged: train it again "
                "with a lower learning rate"
            )
    return mapped_model(model, path, keras) if reading.heatmap else model, structure_of(model)


def _refuse_quantized(path: Path, model: Any) -> None:
    """Refuse Keras's own 8-bit layers, which TFLite does not know."""
    found = next((layer for layer in leaves(model) if getattr(layer, "quantization_mode", None)), None)
    if found is not None:
        raise ConversionError(
            f"{path}: its layer {found.name!r} was quantized by Keras ({found.quantization_mode}); give the model as "
            "it was before model.quantize, fmd quantizes it itself"
        )


def _load_keras_2(path: Path, kind: str, version: str, reading: Reading, progress: ProgressLine) -> Source:
    progress.say(f"reading it as Keras {version} does, with tf_keras")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        request = {
            "path": str(path.resolve()),
            "kind": kind,
            "allow_code": reading.allow_code,
            "custom_objects": str(reading.custom_objects.resolve()) if reading.custom_objects else "",
            "heatmap": reading.heatmap,
        }
        found = child.run("keras 2", request, folder, reading.limits, progress)
        structure = Structure(**{**found, "head": tuple(found["head"])})
        # The file's own code was allowed or refused before; what lies here, fmd itself exported.
        trusted = Reading(True, None, reading.size, False, reading.limits)
        return _described_signature(path, folder / legacy.EXPORTED, trusted, structure, f"Keras {version}")


def _described_keras(path: Path, model: Any, structure: Structure, version: str, reading: Reading) -> Source:
    import keras

    inputs = _keras_inputs(model)
    batch, height, width, channels = _input_shape(path, inputs, reading.size)
    if not inputs:  # a subclassed model takes whatever it is given
        channels = 3

    def call(pixels: Any) -> Any:
        return model(pixels, training=False)

    def flattened(found: Any) -> list[tuple[Any, Any]]:
        return list(found.items()) if isinstance(found, dict) else list(enumerate(keras.tree.flatten(found)))

    shapes = {
        key: tuple(value.shape) for key, value in flattened(_traced(path, call, (batch, height, width, channels)))
    }
    order = sorted(shapes, key=lambda key: (len(shapes[key]), int(shapes[key][-1] or 0)))

    def forward(pixels: Any) -> tuple[Any, ...]:
        found = dict(flattened(call(pixels)))
        return tuple(found[key] for key in order)

    return _source(
        path, f"Keras {version or 'of unknown version'}", (batch, height, width, channels), [shapes[k] for k in order],
        structure, forward, model, notes_of(path),
    )  # fmt: skip


def _keras_inputs(model: Any) -> list[tuple[int | None, ...]]:
    try:
        return [tuple(tensor.shape) for tensor in model.inputs or ()]
    except (AttributeError, ValueError):  # a subclassed model has none
        return []


def _traced(path: Path, call: Callable[[Any], Any], shape: tuple[int, ...]) -> Any:
    """Outputs of the model as TensorFlow's graph describes them; works for models without an ``output``."""
    import tensorflow as tf

    try:
        with quiet():
            return tf.function(call).get_concrete_function(tf.TensorSpec(shape, tf.float32)).structured_outputs
    # Whatever a layer raises here means that it does not take this input.
    except Exception as error:
        raise ConversionError(
            f"{path}: does not take pictures of {shape[1:]}: {str(error).strip().splitlines()[0][:200]}; give the size "
            "it was trained on: --size HEIGHTxWIDTH"
        ) from error


def _described_signature(
    path: Path, folder: Path, reading: Reading, structure: Structure | None, made_by: str
) -> Source:
    import tensorflow as tf

    loaded, signature = load_signature(folder, reading.allow_code)
    inputs = signature.structured_input_signature[1]
    batch, height, width, channels = _input_shape(path, [tuple(spec.shape) for spec in inputs.values()], reading.size)
    (name,) = inputs
    outputs = signature.structured_outputs
    kind = inputs[name].dtype

    def forward(pixels: Any) -> tuple[Any, ...]:
        found = signature(**{name: tf.cast(pixels, kind)})
        return tuple(found[key] for key in order)

    shape = (batch, height, width, channels)
    shapes = {key: tuple(value.shape) for key, value in outputs.items()}
    if any(None in value[1:] for value in shapes.values()):
        found = _traced(path, lambda pixels: signature(**{name: tf.cast(pixels, kind)}), shape)
        shapes = {key: tuple(value.shape) for key, value in found.items()}
    order = sorted(shapes, key=lambda key: (len(shapes[key]), int(shapes[key][-1] or 0)))
    for variable in signature.graph.variables:
        if variable.dtype.is_floating and not np.isfinite(variable.numpy()).all():
            raise ConversionError(f"{path}: the weights of {variable.name} hold NaN or infinity; train it again")
    version = f"TensorFlow {getattr(loaded, 'tensorflow_version', 'of unknown version')}"
    structure = structure or Structure(takes_bytes=not kind.is_floating)
    return _source(path, made_by or version, shape, [shapes[k] for k in order], structure, forward, loaded, {})


def _source(
    path: Path,
    made_by: str,
    shape: tuple[int, int, int, int],
    outputs: Sequence[tuple[int | None, ...]],
    structure: Structure,
    forward: Callable[[Any], tuple[Any, ...]],
    model: Any,
    notes: Mapping[str, Any],
) -> Source:
    import tensorflow as tf

    batch, height, width, channels = shape
    task, neurons = _task_of(path, outputs, height, width)
    return Source(
        path, digest(path), made_by, height, width, channels, batch, task, neurons, structure, forward,
        tf.function(forward), model, notes,
    )  # fmt: skip


def _input_shape(
    path: Path, shapes: Sequence[tuple[int | None, ...]], size: tuple[int, int] | None
) -> tuple[int, int, int, int]:
    """(batch, height, width, channels) that the model is run with."""
    if len(shapes) > 1:
        raise ConversionError(f"{path}: takes {len(shapes)} inputs, expected one picture; give a model with one input")
    shape: tuple[int | None, ...] = shapes[0] if shapes else (None, None, None, None)
    if len(shape) != 4:
        raise ConversionError(
            f"{path}: takes {shape}, expected pictures (batch, height, width, 3); put a Reshape layer in front, or "
            "give the model that takes pictures"
        )
    if shape[3] not in (1, 3, None):
        step = "its channels come first: transpose them inside the model" if shape[1] in (1, 3) else "train it on RGB"
        raise ConversionError(
            f"{path}: takes {shape}, expected 3 colour channels (or 1 of gray) last (batch, height, width, 3); {step}"
        )
    if shape[1] and shape[2]:
        if size and size != (shape[1], shape[2]):
            raise ConversionError(f"--size {size[0]}x{size[1]}: {path} takes {shape[1]}x{shape[2]}; omit --size")
        return shape[0] or BATCH, shape[1], shape[2], shape[3] or 3
    if size is None:
        raise ConversionError(
            f"{path}: accepts pictures of any size ({shape}), so the size it was trained on is not in the file; "
            f"give it, such as: fmd-convert {typed(path)} --size 224"
        )
    return shape[0] or BATCH, size[0], size[1], shape[3] or 3


def _task_of(
    path: Path, shapes: Sequence[tuple[int | None, ...]], height: int, width: int
) -> tuple[Literal["classifier", "detector"], int]:
    """What the output shapes, smallest last axis first, make the model. A heat map may follow a classifier's labels."""
    cells = sum(-(-height // stride) * -(-width // stride) for stride in STRIDES)
    if [shape[1:] for shape in shapes] == [(cells, 1), (cells, 4)]:
        return "detector", cells
    got = " and ".join(str(shape) for shape in shapes)
    labels = [shape for shape in shapes if len(shape) == 2]
    if len(labels) > 1:
        raise ConversionError(
            f"{path}: has {len(shapes)} outputs ({got}), expected one of labels; save the one that answers the mask: "
            "keras.Model(model.inputs, model.outputs[0]).save('mask.keras')"
        )
    if len(labels) != 1 or any(len(shape) not in (2, 4) for shape in shapes) or len(shapes) > 2:
        flat = any(len(shape) == 4 and shape[1:3] == (1, 1) for shape in shapes)
        step = "a Flatten layer" if flat else "pooling and a Dense layer"
        raise ConversionError(
            f"{path}: gives {got}, expected one output (batch, labels) of a classifier or, of a detector, scores "
            f"(batch, {cells}, 1) and boxes (batch, {cells}, 4); add {step} at its end, or train a classifier "
            "(fmd-train classifier)"
        )
    neurons = labels[0][1]
    if neurons is None or neurons > MAX_LABELS:
        raise ConversionError(
            f"{path}: has {neurons} classes, expected 1 to {MAX_LABELS}; this is no mask classifier: train a new last "
            "layer on faces with and without masks (fmd-train classifier) and give that model"
        )
    return "classifier", int(neurons)


def digest(path: Path) -> str:
    """Hex sha256 of a file, or of a folder's files in the order of their names."""
    found = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            found.update(file.read_bytes())
    return found.hexdigest()

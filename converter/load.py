"""A file or folder -> Source: reads what Keras 3, Keras 2 and TensorFlow save, by content and not by ending.

No Python code of an untrusted Keras file is run: Lambda layers carry it and are refused unless the person allows it.
That does not hold of a SavedModel: TensorFlow executes its graph, which may read and write files. Convert only those
you trust.
"""

from __future__ import annotations

import hashlib
import json
import runpy
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from converter.noise import quiet
from edge.contracts import Floats, Image
from edge.errors import ConversionError
from edge.stages.detect import STRIDES

MOST_LABELS = 20
"""A classifier with more outputs than this was not trained to tell masks apart."""
BATCH = 8
"""Pictures a float inference takes at once; more is no faster on a few cores and needs that much more memory."""
UNGROUPED = ("DepthwiseConv2D", "Conv2DTranspose")
"""Layers with which Keras 2 saved ``groups=1``; it never used it, and Keras 3 rejects it
(github.com/keras-team/keras/issues/19441)."""
PROBE = 224
"""Side in pixels taken for a model that accepts any size."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A model that was read, and what it takes and gives.

    ``forward`` maps a float32 tensor (n, height, width, 3), pixels as the model wants them, to its output tensors:
    a classifier's (n, neurons), or a detector's scores (n, cells, 1) and boxes (n, cells, 4) in this order.
    ``compiled`` is the same as a graph. ``activation`` is the last layer's, empty where the file does not tell
    (SavedModel). ``keras_model`` is None for a SavedModel.
    """

    path: Path
    name: str
    sha256: str
    made_by: str
    height: int
    width: int
    task: Literal["classifier", "detector"]
    neurons: int
    activation: str
    forward: Callable[[Any], tuple[Any, ...]]
    compiled: Any
    model: Any
    keras_model: Any
    notes: tuple[str, ...] = ()

    def predict(self, pixels: Floats | Image, prepared: Callable[[Any], Floats] = lambda batch: batch) -> list[Floats]:
        """Outputs of (n, height, width, 3) pixels; float32, first axis n.

        ``prepared`` turns a batch of them into what the model wants: batch by batch, for all pictures of a proof as
        floats, and their activations, are most of what a conversion would need in memory.
        """
        parts: list[list[Floats]] = []
        for i in range(0, len(pixels), BATCH):
            batch = np.asarray(prepared(pixels[i : i + BATCH]), np.float32)
            # Every batch of one size: TensorFlow would build the graph anew for the last.
            filled = np.concatenate([batch, np.repeat(batch[-1:], BATCH - len(batch), axis=0)])
            parts.append([out.numpy()[: len(batch)] for out in self.compiled(filled)])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]


def load(path: Path, allow_code: bool = False, custom_objects: Path | None = None) -> Source:
    """Read a ``.keras``, HDF5 or SavedModel.

    ``allow_code`` lets Lambda layers run; ``custom_objects`` is a Python file whose classes and functions the model
    was built with. Raises :class:`edge.errors.ConversionError` where there is no model to read, or one that is not a
    mask classifier or fmd's own detector.
    """
    if path.is_dir():
        return _load_saved_model(path)
    kind = _kind_of(path)
    config, made_by = _config_of(path, kind)
    if not allow_code:
        _refuse_code(path, config)
    model = _load_keras(path, kind, made_by, allow_code, _objects_of(custom_objects))
    _check_weights(path, model)
    return _describe(path, model, made_by)


def _kind_of(path: Path) -> Literal["keras", "hdf5"]:
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise ConversionError(
            f"{path}: cannot read the model: {error.strerror}; give a .keras, .h5 or SavedModel"
        ) from error
    if head[:4] == b"PK\x03\x04":
        return "keras"
    if head == b"\x89HDF\r\n\x1a\n":
        return "hdf5"
    if head[4:8] == b"TFL3":
        raise ConversionError(
            f"{path}: is a TFLite file already; look at it with: fmd-convert inspect {path}, or give the Keras model"
        )
    if not head:
        raise ConversionError(f"{path}: the file is empty; copy it again or save the model once more")
    raise ConversionError(
        f"{path}: not a Keras model (starts with {head!r}, expected a .keras zip or an HDF5 file); "
        "save it with model.save('model.keras')"
    )


def _config_of(path: Path, kind: str) -> tuple[Any, str]:
    """The model's own description as parsed JSON, and which Keras wrote it."""
    try:
        return _zip_config(path) if kind == "keras" else _hdf5_config(path)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise ConversionError(
            f"{path}: is cut short or damaged ({_first_line(error)}); copy it again or save the model once more"
        ) from error
    except KeyError as error:
        raise ConversionError(
            f"{path}: holds no model ({_first_line(error)}), perhaps weights alone; save the whole model with "
            "model.save('model.keras')"
        ) from error


def _zip_config(path: Path) -> tuple[Any, str]:
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
        if broken:
            raise zipfile.BadZipFile(f"bad checksum of {broken}")
        config = json.loads(archive.read("config.json"))
        version = json.loads(archive.read("metadata.json")).get("keras_version", "of unknown version")
    return config, f"Keras {version}"


def _hdf5_config(path: Path) -> tuple[Any, str]:
    import h5py  # type: ignore[import-untyped, unused-ignore]

    with h5py.File(path, "r") as file:
        config = json.loads(file.attrs["model_config"])
        return config, f"Keras {file.attrs.get('keras_version', 'of unknown version')}"


def _layers_of(config: Any) -> Iterator[dict[str, Any]]:
    """Every layer's own config in a model's, at any depth."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config
        for value in config.values():
            yield from _layers_of(value)
    elif isinstance(config, list):
        for value in config:
            yield from _layers_of(value)


def _refuse_code(path: Path, config: Any) -> None:
    for layer in _layers_of(config):
        if layer["class_name"] in ("Lambda", "__lambda__"):
            name = (layer.get("config") or {}).get("name", "?") if isinstance(layer.get("config"), dict) else "?"
            raise ConversionError(
                f"{path}: its Lambda layer {name!r} is Python code that would run on this machine; if you trust who "
                "made the file give --allow-code, else replace the layer by a Keras one such as Rescaling"
            )


def _objects_of(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        found = runpy.run_path(str(file))
    except OSError as error:
        raise ConversionError(f"--custom-objects {file}: cannot be read: {error.strerror}") from error
    # It is the person's own program; whatever it raises is theirs to see, in one line.
    except Exception as error:
        raise ConversionError(f"--custom-objects {file}: {type(error).__name__}: {_first_line(error)}") from error
    return {name: value for name, value in found.items() if callable(value) and not name.startswith("_")}


def _load_keras(path: Path, kind: str, made_by: str, allow_code: bool, objects: dict[str, Any]) -> Any:
    with quiet():
        import keras

    ending = ".keras" if kind == "keras" else ".h5"
    with tempfile.TemporaryDirectory() as folder, quiet():
        # Keras goes by the ending; the tutorials' mask_detector.model is HDF5.
        named = Path(folder) / f"model{ending}"
        try:
            _place(path, named, made_by)
            known = {**_keras_2_layers(), **objects}
            return keras.saving.load_model(named, custom_objects=known, compile=False, safe_mode=not allow_code)
        # Keras raises whatever its layers raise; every one means that this file cannot be read.
        except Exception as error:
            raise _loading_error(path, error) from error


def _place(path: Path, named: Path, made_by: str) -> None:
    """Make ``path`` readable as ``named``; a .keras of Keras 2 is copied with its classes' new modules."""
    if named.suffix != ".keras" or not made_by.startswith("Keras 2"):
        named.symlink_to(path.resolve())
        return
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(named, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            new.writestr(info.filename, _modernised(data) if info.filename == "config.json" else data)


def _modernised(config: bytes) -> bytes:
    """What Keras 2.12 to 2.15 wrote of a model, with its modules' new places and without what it no longer takes.

    Unlike for HDF5, Keras 3 does not ask custom_objects for classes of its own here. The weights' layout it reads.
    """
    for kind, place in (("functional", "functional"), ("sequential", "sequential"), ("training", "model")):
        config = config.replace(f"keras.src.engine.{kind}".encode(), f"keras.src.models.{place}".encode())
    parsed = json.loads(config)
    for layer in _layers_of(parsed):
        own = layer.get("config")
        if layer["class_name"] in UNGROUPED and isinstance(own, dict):
            own.pop("groups", None)
        if layer["class_name"] == "BatchNormalization" and isinstance(own, dict) and isinstance(own["axis"], list):
            (own["axis"],) = own["axis"]
    return json.dumps(parsed).encode()


def _keras_2_layers() -> dict[str, Any]:
    """Layers that read from HDF5 what Keras 2 wrote of them and Keras 3 no longer knows."""
    import keras

    def without_groups(base: Any) -> Any:
        class Layer(base):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                kwargs.pop("groups", None)
                super().__init__(*args, **kwargs)

        Layer.__name__ = Layer.__qualname__ = base.__name__
        return Layer

    return {name: without_groups(getattr(keras.layers, name)) for name in UNGROUPED}


def _loading_error(path: Path, error: Exception) -> ConversionError:
    text = str(error)
    for mark in ("Could not locate class '", "Unknown layer: '", "Could not locate function '", "Unknown object: '"):
        if mark in text:
            name = text.split(mark, 1)[1].split("'", 1)[0]
            return ConversionError(
                f"{path}: needs the custom object {name!r}; give the Python file that defines it: "
                "--custom-objects FILE.py"
            )
    # Keras wraps the cause in the whole configuration, layer by layer; what went wrong comes last.
    cause = text.rsplit("Exception encountered: ", 1)[-1]
    return ConversionError(
        f"{path}: Keras cannot read it: {_first_line(ValueError(cause))}; save it again with the Keras that made it, "
        "as a SavedModel: model.export('folder'), in Keras 2 tf.saved_model.save(model, 'folder'); convert the folder"
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


def _check_weights(path: Path, model: Any) -> None:
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise ConversionError(
                f"{path}: the weights of {weight.path} hold NaN or infinity; the training diverged: train it again "
                "with a lower learning rate"
            )


def _describe(path: Path, model: Any, made_by: str) -> Source:
    height, width = _input_size(path, [tuple(tensor.shape) for tensor in model.inputs])
    import keras
    import tensorflow as tf

    if isinstance(model.output, dict):
        order = sorted(model.output, key=lambda key: int(model.output[key].shape[-1] or 0))
        shapes = [tuple(model.output[key].shape) for key in order]
    else:
        order = sorted(range(len(model.outputs)), key=lambda i: int(model.outputs[i].shape[-1] or 0))
        shapes = [tuple(model.outputs[i].shape) for i in order]

    def forward(pixels: Any) -> tuple[Any, ...]:
        out = model(pixels, training=False)
        flat = out if isinstance(out, dict) else keras.tree.flatten(out)
        return tuple(flat[key] for key in order)

    task, neurons = _task_of(path, shapes, height, width)
    return Source(
        path,
        path.stem,
        _digest(path),
        made_by,
        height,
        width,
        task,
        neurons,
        _activation_of(model),
        forward,
        tf.function(forward),
        model,
        model,
    )


def _input_size(path: Path, shapes: Sequence[tuple[int | None, ...]]) -> tuple[int, int]:
    if len(shapes) != 1:
        raise ConversionError(f"{path}: takes {len(shapes)} inputs, expected one picture; give a model with one input")
    shape = shapes[0]
    if len(shape) != 4:
        raise ConversionError(f"{path}: takes {shape}, expected pictures (batch, height, width, 3)")
    if shape[3] != 3:
        cure = "channels come first: transpose them inside the model" if shape[1] == 3 else "train it on RGB pictures"
        raise ConversionError(
            f"{path}: takes {shape}, expected 3 colour channels last (batch, height, width, 3); {cure}"
        )
    return int(shape[1] or PROBE), int(shape[2] or PROBE)


def _task_of(
    path: Path, shapes: Sequence[tuple[int | None, ...]], height: int, width: int
) -> tuple[Literal["classifier", "detector"], int]:
    """What the output shapes, smallest last axis first, make the model."""
    cells = sum(-(-height // stride) * -(-width // stride) for stride in STRIDES)
    if [shape[1:] for shape in shapes] == [(cells, 1), (cells, 4)]:
        return "detector", cells
    said = " and ".join(str(shape) for shape in shapes)
    if len(shapes) != 1:
        raise ConversionError(
            f"{path}: gives {said}, expected one output (batch, labels) of a classifier or, of a detector, scores "
            f"(batch, {cells}, 1) and boxes (batch, {cells}, 4)"
        )
    if len(shapes[0]) != 2 or shapes[0][1] is None:
        raise ConversionError(
            f"{path}: gives {said}, expected (batch, labels); add pooling and a Dense layer at its end"
        )
    if shapes[0][1] > MOST_LABELS:
        raise ConversionError(
            f"{path}: tells {shapes[0][1]} classes apart, expected 1 to {MOST_LABELS}; this is no mask classifier: "
            "train a new last layer on masked and bare faces (fmd-train classifier)"
        )
    return "classifier", int(shapes[0][1])


def _activation_of(model: Any) -> str:
    """Name of the last activation, looked up through nested models; empty where no layer tells."""
    layers = getattr(model, "layers", [])
    last = layers[-1] if layers else None
    if last is None:
        return ""
    if type(last).__name__ == "Softmax":
        return "softmax"
    if getattr(last, "layers", None):
        return _activation_of(last)
    return getattr(getattr(last, "activation", None), "__name__", "")


def _load_saved_model(path: Path) -> Source:
    if not (path / "saved_model.pb").is_file():
        raise ConversionError(f"{path}: a folder without saved_model.pb; give a .keras, .h5 or SavedModel")
    with quiet():
        import tensorflow as tf

        try:
            loaded = tf.saved_model.load(str(path))
        # TensorFlow raises its own and Python's errors alike here; each means the folder cannot be read.
        except Exception as error:
            raise ConversionError(
                f"{path}: TensorFlow cannot read this SavedModel: {_first_line(error)}; export it again"
            ) from error
    signatures = dict(loaded.signatures)
    if "serving_default" not in signatures:
        raise ConversionError(f"{path}: has no serving_default signature; export it again with model.export('folder')")
    return _describe_signature(path, loaded, signatures["serving_default"])


def _describe_signature(path: Path, loaded: Any, signature: Any) -> Source:
    import tensorflow as tf

    inputs = signature.structured_input_signature[1]
    height, width = _input_size(path, [tuple(spec.shape) for spec in inputs.values()])
    (name,) = inputs
    outputs = signature.structured_outputs
    order = sorted(outputs, key=lambda key: int(outputs[key].shape[-1] or 0))

    def forward(pixels: Any) -> tuple[Any, ...]:
        found = signature(**{name: tf.cast(pixels, inputs[name].dtype)})
        return tuple(found[key] for key in order)

    task, neurons = _task_of(path, [tuple(outputs[key].shape) for key in order], height, width)
    for variable in signature.graph.variables:
        if not np.isfinite(variable.numpy()).all():
            raise ConversionError(f"{path}: the weights of {variable.name} hold NaN or infinity; train it again")
    version = f"TensorFlow {getattr(loaded, 'tensorflow_version', 'of unknown version')}"
    return Source(
        path,
        path.name,
        _digest(path),
        version,
        height,
        width,
        task,
        neurons,
        "",
        forward,
        tf.function(forward),
        loaded,
        None,
    )


def _digest(path: Path) -> str:
    """Hex sha256 of a file, or of a folder's files in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()

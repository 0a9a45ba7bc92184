"""The second reader: tf_keras loads what Keras 2 saved, in a child process, and exports it as a SavedModel.

tf_keras is Keras 2 as its authors maintain it, so it reads files of Keras 2.2 to 2.15 as they were meant. Keras 3
refuses many of them (models without InputLayer, DepthwiseConv2D with groups, TFOpLambda) and is not asked.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converter.keras_files import loading_error, objects_of
from converter.noise import ProgressLine, quiet
from converter.structure import in_float32, structure_of
from edge.errors import ConversionError

EXPORTED = "exported"


def is_installed() -> bool:
    """Whether tf_keras can be imported here."""
    return importlib.util.find_spec("tf_keras") is not None


def export(request: Mapping[str, Any], folder: Path, progress: ProgressLine) -> dict[str, Any]:
    """Read ``request["path"]`` with tf_keras and write a SavedModel to ``folder``; returns its structure.

    Runs in a child process (see :mod:`converter.child`).
    """
    # A custom layer's "from tensorflow import keras" must mean Keras 2 here; read when tensorflow is imported.
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    path = Path(request["path"])
    custom = Path(request["custom_objects"]) if request["custom_objects"] else None
    with quiet():
        import tensorflow as tf
        import tf_keras

        model = in_float32(_read(path, request["kind"], bool(request["allow_code"]), custom, folder), tf_keras)
        structure = structure_of(model)
        if request["heatmap"]:
            from converter.heatmap import mapped_model

            model = mapped_model(model, path, tf_keras)
        shape = _input_shape(model)
        specification = tf.TensorSpec((None, *shape), tf.float32, name="pixels")

        def serve(pixels: Any) -> dict[str, Any]:
            found = tf.nest.flatten(model(pixels, training=False))
            return {f"output_{i}": tf.cast(value, tf.float32) for i, value in enumerate(found)}

        holder = tf.Module()
        holder.kept = list(model.variables)
        holder.run = tf.function(serve, input_signature=[specification])
        for weight in model.weights:
            if not np.isfinite(weight.numpy()).all():
                raise ConversionError(
                    f"{path}: the weights of {weight.name} hold NaN or infinity; the training diverged: train it "
                    "again with a lower learning rate"
                )
        tf.saved_model.save(holder, str(folder / EXPORTED), signatures=holder.run)
    return structure.plain()


def _input_shape(model: Any) -> tuple[int | None, ...]:
    shape = model.input_shape
    if isinstance(shape, list):
        raise ConversionError(f"the model takes {len(shape)} inputs, expected one picture; give a model with one input")
    return tuple(shape[1:])


def _read(path: Path, kind: str, allow_code: bool, custom: Path | None, folder: Path) -> Any:
    import tf_keras

    # Keras goes by the ending; the tutorials' mask_detector.model is HDF5.
    named = folder / f"model{'.keras' if kind == 'keras' else '.h5'}"
    named.symlink_to(path.resolve())
    try:
        return tf_keras.models.load_model(
            named, custom_objects=objects_of(custom), compile=False, safe_mode=not allow_code
        )
    except ConversionError:
        raise
    # Keras raises whatever its layers raise; every one means that this file cannot be read.
    except Exception as error:
        raise loading_error(path, error) from error

"""Source -> TFLite flatbuffer.

The file takes bytes: a model that wants scaled pixels gets the scaling built in front of it, so that the edge feeds
what the camera gives. All schemes go through TensorFlow's TFLiteConverter; a second way (Google's quantizer, for one)
would be another function of this shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from converter.load import Source
from converter.noise import ProgressLine, quiet
from converter.scaling import Pixels
from edge.contracts import Image
from edge.errors import ConversionError


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """``flatbuffer`` as asked for; ``unrounded`` the same model in float32, where it came by the way, else None."""

    flatbuffer: bytes
    unrounded: bytes | None


def quantize(source: Source, pixels: Pixels, images: Image, scheme: str, progress: ProgressLine) -> Quantized:
    """``source`` as TFLite taking bytes (1, height, width, channels); a detector's scores come before its boxes.

    ``images`` (n, height, width, channels) uint8 set the ranges of int8. The input is uint8 for int8 and float32
    holding 0..255 for the others. Raises ConversionError where TensorFlow cannot convert the model.
    """
    with quiet():
        import tensorflow as tf

        graph, shape = graph_of(source, pixels)
        function = graph.get_concrete_function(shape)
        # The converter follows variables through this object; Keras's own hides them from it.
        holder = tf.Module()
        holder.kept = list(function.graph.variables)
        converter = _converter_class(tf).from_concrete_functions([function], holder)
        _configure(converter, scheme, images, progress)
        try:
            flatbuffer = converter.convert()
        # The converter raises ValueError, RuntimeError and its own; each means that it cannot do this model.
        except Exception as error:
            raise _conversion_error(source, error) from error
        unrounded = flatbuffer if scheme == "float32" else converter.unrounded
        return Quantized(_ordered(flatbuffer), None if unrounded is None else _ordered(unrounded))


def _converter_class(tf: Any) -> Any:
    """TFLiteConverter that keeps the float32 file int8 is made from: a second conversion would take nearly as long."""

    class Converter(tf.lite.TFLiteConverter):
        unrounded: bytes | None = None

        # TensorFlow's own hook, of a name it may change: then nothing is kept, and float32 is converted once more.
        def _quantize(self, result: bytes, *rest: Any) -> Any:
            self.unrounded = bytes(result)
            return super()._quantize(result, *rest)

    return Converter


def graph_of(source: Source, pixels: Pixels) -> tuple[Any, Any]:
    """The TensorFlow function from bytes, as float32, to outputs, and the one shape it is for.

    With the batch left open every reshape would be computed again at each frame.
    """
    import tensorflow as tf

    def run(image: Any) -> list[Any]:
        return list(source.forward(pixels.apply(image)))

    return tf.function(run), tf.TensorSpec((1, source.height, source.width, source.channels), tf.float32, name="pixels")


def _configure(converter: Any, scheme: str, images: Image, progress: ProgressLine) -> None:
    import tensorflow as tf

    if scheme == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    elif scheme == "dynamic":
        # tflite-runtime 2.14 knows no per-channel dense layers (FULLY_CONNECTED version 12) and refuses the file.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    else:
        converter.representative_dataset = lambda: _samples(images, progress)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8


def _samples(images: Image, progress: ProgressLine) -> Iterator[list[np.ndarray[Any, Any]]]:
    """Pictures one by one as float32; the first has black and white set in its corners.

    With 0 and 255 seen, the input's step is exactly 1 and its zero exactly 0: camera bytes go in untouched.
    """
    for i, image in enumerate(images):
        sample = image[None].astype(np.float32)
        if i == 0:
            sample[0, 0, 0], sample[0, -1, -1] = 0.0, 255.0
        progress.count("calibrating", i + 1, len(images))
        yield [sample]


def _ordered(flatbuffer: bytes) -> bytes:
    """The same file with outputs ordered by rank and last axis; the converter has an order of its own.

    So labels come before their maps, and scores before boxes.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    data = bytearray(flatbuffer)
    graph = schema.Model.GetRootAs(data, 0).Subgraphs(0)
    # A view into ``data``: what is written to it is written to the file.
    outputs = graph.OutputsAsNumpy()
    shapes = [graph.Tensors(int(output)).ShapeAsNumpy() for output in outputs]
    order = sorted(range(len(outputs)), key=lambda k: (len(shapes[k]), int(shapes[k][-1])))
    outputs[:] = outputs[order].copy()
    return bytes(data)


def _conversion_error(source: Source, error: Exception) -> ConversionError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    said = next((line for line in lines if "error:" in line or "not supported" in line), lines[0])
    return ConversionError(
        f"{source.path}: TensorFlow Lite cannot convert it: {said[:240]}; replace the layer it names by one that "
        "TFLite knows (tensorflow.org/lite/guide/ops_compatibility)"
    )

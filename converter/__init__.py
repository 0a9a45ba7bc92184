"""The workshop: a trained Keras model in, one file that is proven right out.

The file list is the flow::

    load.py       a .keras, HDF5 or SavedModel -> Source: what it takes, what it gives
    pixels.py     what the model expects of a pixel, found out or told
    labels.py     what its outputs are called, found out or told
    calibrate.py  a folder of pictures -> what to calibrate on and what to hold back for the proof
    quantize.py   Source -> TFLite flatbuffer, in one of four schemes
    verify.py     Keras and TFLite on the same held-back pictures -> Parity, and the gate it must pass
    heatmap.py    a second output that shows where the model looked
    explain.py    which layer loses most
    golden.py     the few inputs whose answers travel in the file
    write.py      flatbuffer, contract and golden inputs -> one file, all of it or none
    export_onnx.py  the same, proven, as ONNX for TensorRT

:mod:`converter.flow` is the page to read first. TensorFlow is imported where it is used and not before, so that
``fmd-convert --help`` answers at once. The edge never imports this package.

    >>> from converter import Options, convert
    >>> convert("model.keras", Options(calibration=Path("pictures"))).parity.agreement  # doctest: +SKIP
"""

from converter.flow import Conversion, Options, Proof, convert, prove
from converter.verify import Gate, Parity

__all__ = ["Conversion", "Gate", "Options", "Parity", "Proof", "convert", "prove"]

"""The converter: a trained Keras model in, one proven file out.

The file list is the flow::

    recognise.py  what a file is, by its content
    load.py       a .keras, HDF5 or SavedModel -> Source: its input, its outputs, a function
                  (keras_files.py: safety; structure.py: layers; saved_model.py; legacy.py: Keras 2 with tf_keras)
    calibrate.py  a folder of pictures -> what to calibrate on and what to hold back for the proof
    identify.py   pixels, colour order and labels, found out with evidence.py's pictures
                  (scaling.py, names.py; rank.py: hypotheses by accuracy; contradict.py: what pictures refuse)
    quantize.py   Source -> TFLite flatbuffer, in one of four schemes
    verify.py     Keras and TFLite on the same held-back pictures -> Parity, and the gate it must pass
    golden.py     the few inputs whose answers travel in the file
    write.py      flatbuffer, contract and golden inputs -> one file, complete or not at all
    prove.py      a converted file proven again
    heatmap.py, explain.py, export_onnx.py    on request
    options.py, job.py, results.py, notes.py, report.py    what goes in, what comes out, and how it is reported
    child.py, tasks.py    the child process in which the command line opens model files

:mod:`converter.flow` is the page to read first. TensorFlow is imported where it is used and not before, so that
``fmd-convert --help`` answers at once. The edge never imports this package.

    >>> from converter import Options, convert
    >>> convert("model.keras", Options(calibration=Path("pictures"))).parity.agreement  # doctest: +SKIP
"""

from converter.flow import convert
from converter.options import Gate, Options
from converter.prove import prove
from converter.results import Conversion, Proof
from converter.verify import Parity

__all__ = ["Conversion", "Gate", "Options", "Parity", "Proof", "convert", "prove"]

"""The workshop: a trained Keras model in, one file that is proven right out.

The file list is the flow::

    load.py       a .keras, HDF5 or SavedModel -> Source: what it takes, what it gives
    pixels.py     what the model expects of a pixel, found out or told
    labels.py     what its outputs are called, found out or told
    calibrate.py  a folder of pictures -> what to calibrate on and what to hold back for the proof
    quantize.py   Source -> TFLite flatbuffer, in one of four schemes
    verify.py     Keras and TFLite on the same held-back pictures -> Parity, and the gate it must pass
    golden.py     the few inputs whose answers travel in the file
    write.py      flatbuffer, contract and golden inputs -> one file, all of it or none

:mod:`converter.flow` is the page to read first. TensorFlow is imported where it is used and not before, so that
``fmd-convert --help`` answers at once. The edge never imports this package.
"""

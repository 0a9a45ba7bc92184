"""Corpus of model files as people make them, with the answers that their authors get.

Each kind is a file (or folder) written by plain Keras 3, Keras 2 (tf_keras) or TensorFlow, trained in seconds on class
folders with a preprocessing that only this package knows. Nothing here imports the converter to make or to judge them.

Kinds that the converter was written against are in ``kinds``, those that were made to find its faults in ``more``.

    python -m tests.corpus make      train the networks, write the files and the expected answers
    python -m tests.corpus convert   run fmd-convert on each: without options, with pictures, with all options
    python -m tests.corpus table     compare with plain Keras on 200 held-out pictures; exit 1 if a bar is missed
"""

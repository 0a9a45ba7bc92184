"""The mean of several trained networks' weights: one network, as fast as each of them, with fewer errors than most.

Runs that began with the same weights end in one valley of the loss, and its middle generalises better than its edges
(model soups: Wortsman et al. 2022, arXiv:2203.05482).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from edge.errors import DataError
from training.train import load_network


def averaged(paths: Sequence[Path]) -> keras.Model:
    """Return a model with the mean of the weights of all ``paths`` (.keras), which must be of one shape."""
    first, *others = [load_network(path, "average:") for path in paths]
    if not others:
        raise DataError(f"average: {paths[0]}: one network is its own mean; give two or more")
    rows = [first.get_weights()]
    for path, other in zip(paths[1:], others, strict=True):
        rows.append(other.get_weights())
        if [w.shape for w in rows[-1]] != [w.shape for w in rows[0]]:
            raise DataError(f"average: {path}: not of the shape of {paths[0]}; average runs of the same network")
    first.set_weights([np.mean(column, axis=0) for column in zip(*rows, strict=True)])
    return first

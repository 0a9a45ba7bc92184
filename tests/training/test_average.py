"""The mean of several networks' weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="keras is not installed; pip install '.[convert]'")

import keras

from edge.errors import DataError
from training.average import averaged


def saved(path: Path, kernel: float, width: int = 2) -> Path:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(width)])
    model.set_weights([np.full((3, width), kernel, np.float32), np.arange(width, dtype=np.float32) * kernel])
    model.save(path)
    return path


def test_every_weight_is_the_mean(tmp_path: Path) -> None:
    mean = averaged([saved(tmp_path / f"{kernel}.keras", kernel) for kernel in (1.0, 2.0, 6.0)])
    kernel, bias = mean.get_weights()
    np.testing.assert_allclose(kernel, np.full((3, 2), 3.0))
    np.testing.assert_allclose(bias, [0.0, 3.0])


def test_what_has_no_mean_is_refused(tmp_path: Path) -> None:
    one, other = saved(tmp_path / "one.keras", 1.0), saved(tmp_path / "other.keras", 1.0, width=3)
    broken = tmp_path / "broken.keras"
    broken.write_text("no model")
    for paths, said in (
        ([one], "give two or more"),
        ([one, other], r"other\.keras: not of the shape"),
        ([one, broken], r"broken\.keras: not a Keras model"),
        ([one, tmp_path / "none.keras"], "no such file"),
    ):
        with pytest.raises(DataError, match=said):
            averaged(paths)

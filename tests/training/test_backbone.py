"""Whose weights the backbone starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("keras", reason="keras is not installed; pip install '.[convert]'")

from edge.errors import DataError
from training import backbone


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        backbone.mobilenet_v2(32, str(tmp_path / "none.weights.h5"))

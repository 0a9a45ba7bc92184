"""Whose weights the backbones start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="keras is not installed; pip install '.[convert]'")

from edge.errors import DataError  # noqa: E402
from training import backbone  # noqa: E402

STAGES = ((1, 8, 1, 3), (2, 12, 6, 3), (2, 16, 6, 5), (3, 20, 6, 3), (3, 24, 6, 5), (4, 28, 6, 5), (1, 40, 6, 3))
"""Blocks, channels, expansion and kernel of each stage of a narrow EfficientNet-Lite."""


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        backbone.mobilenet_v2(32, str(tmp_path / "none.weights.h5"))


def lite_arrays() -> dict[str, np.ndarray]:
    """Arrays named and laid out as PyTorch's: kernels (out, in, height, width)."""
    rng = np.random.default_rng(5)
    out: dict[str, np.ndarray] = {}

    def convolution(name: str, norm: str, wide: int, deep: int, side: int) -> None:
        out[f"{name}.weight"] = rng.normal(0, 0.2, (wide, deep, side, side)).astype(np.float32)
        for key, low, high in (("weight", 0.5, 1.5), ("bias", -1, 1), ("running_mean", -1, 1), ("running_var", 0.5, 2)):
            out[f"{norm}.{key}"] = rng.uniform(low, high, wide).astype(np.float32)

    convolution("_conv_stem", "_bn0", 8, 3, 3)
    before, block = 8, 0
    for blocks, wide, expansion, side in STAGES:
        for _ in range(blocks):
            inner, given = before * expansion, f"_blocks.{block}"
            if expansion > 1:
                convolution(f"{given}._expand_conv", f"{given}._bn0", inner, before, 1)
            convolution(f"{given}._depthwise_conv", f"{given}._bn1", inner, 1, side)
            convolution(f"{given}._project_conv", f"{given}._bn2", wide, inner, 1)
            before, block = wide, block + 1
    convolution("_conv_head", "_bn1", 48, before, 1)
    return out


@pytest.fixture
def lite(tmp_path: Path) -> Path:
    path = tmp_path / "lite.npz"
    np.savez(path, **lite_arrays())
    return path


def test_an_efficientnet_lite_has_the_blocks_of_its_weights(lite: Path) -> None:
    model = backbone.efficientnet_lite(64, str(lite))
    assert model.output_shape == (None, 2, 2, 48)
    assert sum(layer.name.endswith("_project") for layer in model.layers) == sum(stage[0] for stage in STAGES)
    assert sum(isinstance(layer, keras.layers.Add) for layer in model.layers) == sum(s[0] - 1 for s in STAGES)
    trained = {layer.name for layer in model.layers if layer.trainable and layer.weights}
    assert "stem" not in trained
    assert "block_3_project" not in trained
    assert {"block_4_expand", "top"} <= trained


def test_norms_are_folded_into_the_convolutions(lite: Path) -> None:
    """The stem as PyTorch computes it: the convolution, then the norm with its running figures."""
    arrays = lite_arrays()
    model = backbone.efficientnet_lite(32, str(lite))
    scaled = np.random.default_rng(2).normal(0, 1, (1, 32, 32, 3)).astype(np.float32)
    plain = keras.ops.conv(scaled, arrays["_conv_stem.weight"].transpose(2, 3, 1, 0), strides=2, padding="same")
    spread = np.sqrt(arrays["_bn0.running_var"] + 1e-3)
    wanted = (np.asarray(plain) - arrays["_bn0.running_mean"]) / spread * arrays["_bn0.weight"] + arrays["_bn0.bias"]
    np.testing.assert_allclose(np.asarray(model.get_layer("stem")(scaled)), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"not an archive", "cannot be read"), ({"a": [1.0]}, "lacks")]
)
def test_files_that_hold_no_efficientnet_lite(
    tmp_path: Path, content: bytes | dict[str, list[float]] | None, said: str
) -> None:
    path = tmp_path / "weights.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        np.savez(path, **{name: np.array(values) for name, values in content.items()})
    with pytest.raises(DataError, match=said):
        backbone.efficientnet_lite(32, str(path))


@pytest.mark.parametrize("weights", [None, "imagenet"])
def test_an_efficientnet_lite_needs_a_file(weights: str | None) -> None:
    with pytest.raises(DataError, match="EfficientNet-Lite"):
        backbone.efficientnet_lite(32, weights)

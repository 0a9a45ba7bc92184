"""What a model expects of a pixel: the scalings that people use, in both colour orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np

from edge.contracts import Floats, Image
from edge.inference.bundle import Contract, Scaling, Triple

Colour = Literal["RGB", "BGR", "GRAY"]


@dataclass(frozen=True, slots=True)
class Pixels:
    """``real = byte * scale + offset``, per channel in ``colour`` order. ``why`` states how it is known.

    ``guessed`` if it was concluded from pictures and not stated.
    """

    name: str
    scale: Triple
    offset: Triple
    colour: Colour = "RGB"
    why: str = ""
    guessed: bool = False

    @property
    def channels(self) -> int:
        """Channels of the model's input."""
        return 1 if self.colour == "GRAY" else 3

    def apply(self, images: Any) -> Any:
        """Bytes (n, h, w, channels) already in ``colour`` order, as a float32 tensor, to what the model expects."""
        if self.scale == (1.0,) * 3 and self.offset == (0.0,) * 3:
            return images
        scale, offset = (np.asarray(v[: self.channels], np.float32) for v in (self.scale, self.offset))
        return images * scale + offset

    def ordered(self, images: Image) -> Image:
        """RGB bytes (n, h, w, 3) in this colour order, (n, h, w, channels)."""
        if self.colour == "GRAY":
            return np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] for image in images])
        return images if self.colour == "RGB" else np.ascontiguousarray(images[..., ::-1])

    def of_bytes(self, images: Image) -> Floats:
        """RGB bytes (n, h, w, 3) to what the model expects."""
        return np.asarray(self.apply(self.ordered(images).astype(np.float32)), np.float32)

    @property
    def scaling(self) -> Scaling:
        """The same as a contract keeps it; the colour order is a field of its own there."""
        return Scaling(name=self.name, scale=self.scale, offset=self.offset, why=self.why, guessed=self.guessed)

    @property
    def words(self) -> tuple[str, ...]:
        """The options that state it."""
        pixels = f"--pixels={self.name}" if self.name.startswith("-") else f"--pixels {self.name}"
        return (pixels,) if self.colour == "GRAY" else (pixels, f"--colour {self.colour}")


def _even(name: str, scale: float, offset: float) -> Pixels:
    return Pixels(name, (scale,) * 3, (offset,) * 3)


SCALINGS: dict[str, Pixels] = {
    "-1..1": _even("-1..1", 1 / 127.5, -1.0),
    "0..1": _even("0..1", 1 / 255, 0.0),
    "0..255": _even("0..255", 1.0, 0.0),
    "-0.5..0.5": _even("-0.5..0.5", 1 / 255, -0.5),
    # Teachable Machine's scripts; its largest difference from -1..1 is 0.008.
    "x/127-1": _even("x/127-1", 1 / 127, -1.0),
    # keras.applications.imagenet_utils, modes "torch" and "caffe" (there B, G, R: the means are in that order).
    "torch": Pixels(
        "torch",
        (1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
        (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
    ),
    "caffe": Pixels("caffe", (1.0,) * 3, (-103.939, -116.779, -123.68), "BGR"),
}
EVEN = tuple(name for name, pixels in SCALINGS.items() if len(set(pixels.offset)) == 1)


def pixels_of(contract: Contract) -> Pixels | None:
    """Scaling and colour order that a file's contract records; None where it does not."""
    kept = contract.scaling
    if kept is None:
        return None
    return Pixels(kept.name, kept.scale, kept.offset, contract.input.colour, kept.why, kept.guessed)


def hypotheses(channels: int, takes_bytes: bool, usual_first: Sequence[str]) -> list[Pixels]:
    """Return every scaling in every colour order that a model of ``channels`` can expect, the most usual first."""
    names = ["0..255"] if takes_bytes else sorted(SCALINGS, key=list(usual_first).index)
    if channels == 1:
        return [replace(SCALINGS[name], colour="GRAY") for name in names if name in EVEN]
    return [
        replace(SCALINGS[name], colour=colour)
        for name in names
        for colour in (("BGR", "RGB") if name == "caffe" else ("RGB", "BGR"))
    ]

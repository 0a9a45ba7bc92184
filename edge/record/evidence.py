"""Observations of a passage as about a hundred bytes, from which the decider can decide again.

Only what the decider weighs is kept: when, how good, whether the face was sure, and the probabilities of the labels;
and how long the decider waited for more, because people become unsure by time alone.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MOST = 240
"""Most observations of one passage. A person who stands longer is decided by then; the rest is only counted."""
TICK_S = 1e-4
TIME_TICKS = 0xFFFF
LOG_STEPS = 2048
"""Steps for each unit of log odds; the range of 16 bits is then plus and minus 16."""
QUALITY_STEPS = 0x7FFF
LASTED = 0x80
"""Bit of the first byte, beside the number of labels: how long the passage lasted stands before the observations.
Evidence of earlier versions lacks both."""
LONGEST = 1 << 16
"""Most bytes that evidence may have after decompression."""


class Weighed(NamedTuple):
    """One observation: seconds since the passage began, quality 0..1, whether the face was sure, and probabilities."""

    at_s: float
    quality: float
    sure: bool
    probabilities: tuple[float, ...]


def packed(observations: Sequence[Weighed], lasted_s: float = 0.0) -> bytes:
    """Return ``observations``, whose probabilities all have the same labels in the same order, as bytes.

    ``lasted_s`` is how long the person was followed, seconds, also while no face was found.
    """
    if not observations:
        return b""
    at = np.round(np.array([o.at_s for o in observations]) / TICK_S)
    columns = [np.clip(np.diff(at, prepend=0.0), 0, TIME_TICKS).astype("<u2")]
    quality = np.round(np.array([o.quality for o in observations]).clip(0, 1) * QUALITY_STEPS).astype("<u2")
    columns.append((quality << 1 | np.array([o.sure for o in observations], "<u2")).astype("<u2"))
    logs = np.log(np.maximum(np.array([o.probabilities for o in observations], float), 1e-7))
    ratios = np.clip(np.round((logs[:, 1:] - logs[:, :1]) * LOG_STEPS), -32767, 32767).astype("<i2")
    columns += list(ratios.T)
    # Column by column and byte by byte: high bytes repeat, and compress well.
    planes = np.stack([c.view("<u2") for c in columns]).view(np.uint8).reshape(-1, 2)
    lasted = round(1000 * min(max(0.0, lasted_s), 86_400.0)).to_bytes(4, "little")
    return bytes([LASTED | len(observations[0].probabilities)]) + zlib.compress(lasted + planes.T.tobytes(), 9)


def lasted_s(data: bytes) -> float:
    """Return how long the person was followed, seconds; 0 if it is not known. Raises ValueError if it is damaged."""
    if not data or not data[0] & LASTED:
        return 0.0
    return int.from_bytes(_plain(data)[:4], "little") / 1000


def _plain(data: bytes) -> bytes:
    unzip = zlib.decompressobj()
    try:
        plain = unzip.decompress(data[1:], LONGEST)
    except zlib.error as error:
        raise ValueError(f"evidence is damaged: {error}") from error
    if not unzip.eof:
        raise ValueError(f"evidence is damaged: it ends after {len(plain)} bytes")
    return plain


def unpacked(data: bytes) -> list[Weighed]:
    """Return the observations in ``data``. Raises ValueError if it is damaged."""
    if not data:
        return []
    labels, plain = data[0] & ~LASTED, _plain(data)
    if data[0] & LASTED:
        plain = plain[4:]
    width = 2 * (labels + 1)
    if labels < 1 or len(plain) % width:
        raise ValueError(f"evidence is damaged: {len(plain)} bytes for {labels} labels")
    planes = np.frombuffer(plain, np.uint8).reshape(2, -1)
    columns = np.ascontiguousarray(planes.T).view("<u2").reshape(labels + 1, -1)
    at_s = np.cumsum(columns[0].astype(float)) * TICK_S
    ratios = columns[2:].view("<i2").astype(float) / LOG_STEPS
    return [
        Weighed(float(at_s[i]), int(columns[1][i] >> 1) / QUALITY_STEPS, bool(columns[1][i] & 1), _shares(ratios[:, i]))
        for i in range(len(at_s))
    ]


def _shares(ratios: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, ...]:
    weights = [1.0, *(math.exp(ratio) for ratio in ratios.tolist())]
    total = sum(weights)
    return tuple(weight / total for weight in weights)

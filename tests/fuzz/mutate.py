"""Seeded mutations of bytes, of JSON values and of lines of text."""

from __future__ import annotations

import copy
import random
import struct
from collections.abc import Sequence
from typing import Any

NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    63,
    64,
    65,
    127,
    128,
    255,
    256,
    1000,
    4096,
    32767,
    32768,
    65535,
    65536,
    2**24,
    2**31 - 1,
)
NUMBERS += (2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)  # fmt: skip
TEXTS = (
    "",
    " ",
    "\x00",
    "\x1b[2J\x1b]0;x\x07",
    "a\nb",
    "\u202eabc",
    "x" * 65,
    "x" * 5000,
    "\U0001f637" * 40,
    "%s%n%d",
    "{0.__class__}",
    "../../etc/passwd",
    "$(reboot)",
    "'; rm -rf /",
    "NaN",
    "1e999",
    "#/+",
    "é",
)
VALUES: tuple[Any, ...] = (None, True, False, -1, 0.5, -0.0, 1e308, 2**63, -(2**63), 10**30, [], {}, [[]], {"": 0})


def of_bytes(rng: random.Random, seeds: Sequence[bytes], tokens: Sequence[bytes] = (), most: int = 1 << 20) -> bytes:
    """Return one of ``seeds`` with one to eight mutations; ``tokens`` are pieces that the format knows."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4, 8))):
        _mutate(rng, data, seeds, tokens)
    return bytes(data[:most])


def _mutate(rng: random.Random, data: bytearray, seeds: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice((1, 2, 4, 8, 64, 1024)))
    kind = rng.randrange(10)
    if kind == 0 and data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1 and data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif kind in (2, 3):
        number = rng.choice(NUMBERS)
        size = rng.choice((1, 2, 4, 8))
        packed = struct.pack("<Q", number)[:size]
        data[at : at + size] = packed if rng.random() < 0.5 else packed[::-1]
    elif kind == 4:
        del data[at:end]
    elif kind == 5:
        data[at:at] = data[at:end] * rng.choice((1, 2, 50))
    elif kind == 6:
        data[at:at] = rng.randbytes(rng.choice((1, 4, 32)))
    elif kind == 7:
        del data[at:]
    elif kind == 8 and tokens:
        data[at : at + rng.choice((0, 0, 4))] = rng.choice(tokens)
    else:
        other = rng.choice(seeds)
        start = rng.randrange(len(other) + 1)
        data[at:end] = other[start : start + rng.choice((4, 64, 4096))]


def of_json(rng: random.Random, value: Any, words: Sequence[str] = ()) -> Any:
    """Return a JSON value with one to four changes: other types, numbers and texts, removed and added keys."""
    holder = [value]
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(_places(holder))
        inside, key = rng.choice(places)
        _change(rng, inside, key, words)
    return holder[0]


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        inside = waiting.pop()
        for key in list(inside) if isinstance(inside, dict) else range(len(inside)):
            found.append((inside, key))
            if isinstance(inside[key], (dict, list)):
                waiting.append(inside[key])
    return found


def _change(rng: random.Random, inside: Any, key: Any, words: Sequence[str]) -> None:
    kind = rng.randrange(8)
    texts = (*TEXTS, *words)
    if kind == 0:
        inside[key] = rng.choice(texts)
    elif kind == 1:
        inside[key] = rng.choice(NUMBERS)
    elif kind == 2:
        inside[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 3:
        inside[key] = nested(rng.choice((10, 100, 150)))
    elif kind == 4:
        # Repetitions of repetitions would be what the fuzzer itself cannot hold.
        inside[key] = [inside[key]] * (rng.choice((2, 33)) if isinstance(inside[key], (dict, list)) else 1000)
    elif kind == 5 and isinstance(inside, dict):
        inside[rng.choice(texts)] = inside.pop(key) if rng.random() < 0.5 else copy.deepcopy(rng.choice(VALUES))
    elif kind == 6 and isinstance(inside, dict):
        del inside[key]
    else:
        inside[key] = str(inside[key])[:100]


def nested(levels: int) -> list[Any]:
    """Return a list in a list in a list ..."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def of_lines(rng: random.Random, seeds: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """Return a text with lines changed, repeated, moved or removed, and sometimes with mutated bytes."""
    lines = rng.choice(seeds).splitlines(keepends=True)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(lines):
            lines[at] = of_bytes(rng, [lines[at]], tokens)
        elif kind == 1:
            lines.insert(at, rng.choice(tokens) + b"\n")
        elif kind == 2 and at < len(lines):
            head, sign, _ = lines[at].partition(b"=")
            lines[at] = head + sign + b" " + rng.choice(tokens) + b"\n"
        elif kind == 3:
            del lines[at : at + rng.choice((1, 5))]
        elif kind == 4 and at < len(lines):
            lines.insert(rng.randrange(len(lines)), lines[at] * rng.choice((1, 2, 100)))
        else:
            lines.insert(at, rng.randbytes(8) + b"\n")
    data = b"".join(lines)
    return of_bytes(rng, [data], tokens) if rng.random() < 0.2 else data

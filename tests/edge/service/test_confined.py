"""Interpreters in child processes: the same answers, and nothing that a model does reaches the parent."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge import child, drivers
from edge.errors import BundleError
from edge.inference import bundle
from edge.service import confined
from edge.service.confined import About, ConfinedInterpreter, Tensor
from tests.edge.parts import ROOT

HOSTILE = ROOT / "tests/edge/hostile_models"


def test_it_gives_the_answers_of_the_same_model_in_this_process(classifier_path: Path) -> None:
    loaded = bundle.unpack(classifier_path)
    here = drivers.open_interpreter(loaded.flatbuffer)
    with confined.opening() as opened:
        there = opened(loaded.flatbuffer, 1, "auto")
        assert (there.runtime, there.input, there.outputs) == (here.runtime, here.input, here.outputs)
        tensor = loaded.golden["inputs"][:1].astype(here.input.dtype)
        for one, other in zip(here.run(tensor), there.run(tensor), strict=True):
            assert np.array_equal(one, other)
        assert bundle.Model(loaded, there, "it").replay() <= 1
        with pytest.raises(BundleError, match="the model takes"):
            there.run(tensor[:, 1:])


def test_a_crash_and_an_endless_loop_end_the_child_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "ANSWER_S", 0.5)
    with confined.opening() as opened:
        with pytest.raises(BundleError, match=r"the model crashed \(signal SIG\w+\)"):
            opened((HOSTILE / "crash.tflite").read_bytes(), 1, "auto")
        endless = opened((HOSTILE / "endless.tflite").read_bytes(), 1, "auto")
        with pytest.raises(BundleError, match="the model took over 0 s"):
            endless.run(np.zeros(endless.input.shape, endless.input.dtype))
        with pytest.raises(BundleError, match=r"cannot run|no network|not|crashed"):
            opened(b"\0\0\0\0TFL3", 1, "auto")


class Said:
    """A child that was taken over: it sends what it likes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def ask(self, question: bytes, size: int, seconds: float) -> bytes:
        found, self._data = self._data[:size], self._data[size:]
        return found


GOOD = Tensor("in", (1, 2), "uint8", 0.5, 0)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        (struct.pack("<I", 1 << 31), "describes it in"),
        (struct.pack("<I", 4) + b"[[[[", "gives no description"),
        (struct.pack("<I", 3) + b'"\xff"', "gives no description"),
        (About("r", GOOD, (msgspec.structs.replace(GOOD, shape=(1 << 24, 1 << 24)),)), "tensors have more than"),
        (About("r", msgspec.structs.replace(GOOD, shape=(1 << 24, 1 << 24)), (GOOD,)), "tensors have more than"),
        (About("r", GOOD, (msgspec.structs.replace(GOOD, dtype="object"),)), "gives no description"),  # type: ignore[arg-type]
        (About("r", GOOD, (GOOD,) * 99), "gives no description"),
        (About("r", GOOD, (msgspec.structs.replace(GOOD, shape=(0,)),)), "gives no description"),
    ],
)
def test_a_description_is_checked_before_memory_is_spent(said: bytes | About, match: str) -> None:
    if isinstance(said, About):
        text = msgspec.json.encode(said)
        said = struct.pack("<I", len(text)) + text
    with pytest.raises(BundleError, match=match):
        ConfinedInterpreter(Said(said))  # type: ignore[arg-type]


def test_what_a_child_says_of_itself_is_escaped() -> None:
    text = msgspec.json.encode(About("\x1b[2Jroot", GOOD, (GOOD,)))
    made = ConfinedInterpreter(Said(struct.pack("<I", len(text)) + text))  # type: ignore[arg-type]
    assert "\x1b" not in made.runtime


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to become")
def test_root_runs_a_model_as_nobody(classifier_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    real = child._started

    def noted(*words: object) -> object:
        started.append(real(*words))  # type: ignore[arg-type]
        return started[-1]

    monkeypatch.setattr(child, "_started", noted)
    with confined.opening() as opened:
        opened(bundle.unpack(classifier_path).flatbuffer, 1, "auto")
        status = Path(f"/proc/{started[0].pid}/status").read_text()
        assert "Uid:\t65534\t65534\t65534" in status
        assert "NoNewPrivs:\t1" in status
    assert started[0].returncode is not None

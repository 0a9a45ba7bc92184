"""From capture to the pin: real service, real scene, recording pins, a second of real time."""

from __future__ import annotations

import pytest

from bench import clips, edge
from bench.edge import Witness
from bench.measure import Figure

pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")
pytest.importorskip("gpiozero", reason="gpiozero is not installed")


def test_every_change_of_the_lamp_is_timed_from_its_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    latency_s, witness = edge.measured(clips.read(clips.SCENE), edges=2, fps=15.0, threads=1)
    assert len(latency_s) == 2
    assert len(witness.detect_s) >= 2
    # An edge cannot come before the networks that led to it have answered.
    assert min(latency_s) > min(witness.detect_s)


def test_the_others_of_several_cameras_leave_the_lamp_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    latency_s, witness = edge.measured(clips.read(clips.SCENE), edges=2, fps=15.0, threads=1, cameras=2)
    assert len(latency_s) == 2
    assert min(witness.observations["1"], witness.observations["2"]) > 5
    names = [figure.name for figure in edge.figures_of(latency_s, witness, 1 / 15, cameras=2)]
    assert "observations a second and camera" in names


def test_the_bar_is_an_interval_and_one_and_a_half_inferences() -> None:
    witness = Witness(3, lambda alarm: None, detect_s=[0.010] * 3, classify_s=[0.002] * 3)
    *_, judged = edge.figures_of([0.02, 0.03, 0.08], witness, interval_s=0.1)
    assert isinstance(judged, Figure)
    assert judged.bar == pytest.approx(100 + 1.5 * 12)
    assert judged.met
    *_, of_four = edge.figures_of([0.02, 0.03, 0.08], witness, interval_s=0.1, cameras=4)
    assert of_four.bar == pytest.approx(100 + 1.5 * 4 * 12)

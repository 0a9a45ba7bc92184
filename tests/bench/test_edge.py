"""Latency from capture to the pin: the real service and scene, recording pins, a second of real time."""

from __future__ import annotations

import pytest

from bench import clips, edge
from bench.edge import StepRecorder
from bench.measure import Measurement

pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")
pytest.importorskip("gpiozero", reason="gpiozero is not installed")


def test_every_change_of_the_led_is_timed_from_its_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    latency_s, recorder = edge.measured(clips.read(clips.SCENE), edges=2, fps=15.0, threads=1)
    assert len(latency_s) == 2
    assert len(recorder.detect_s) >= 2
    # An edge cannot come before the networks that led to it have finished.
    assert min(latency_s) > min(recorder.detect_s)


def test_only_the_first_of_several_cameras_changes_the_led(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    latency_s, recorder = edge.measured(clips.read(clips.SCENE), edges=2, fps=15.0, threads=1, cameras=2)
    assert len(latency_s) == 2
    assert min(recorder.observations["1"], recorder.observations["2"]) > 5
    names = [measurement.name for measurement in edge.measurements_of(latency_s, recorder, 1 / 15, cameras=2)]
    assert "observations a second and camera" in names


def test_the_bar_is_one_interval_and_one_and_a_half_inferences() -> None:
    recorder = StepRecorder(3, lambda alarm: None, detect_s=[0.010] * 3, classify_s=[0.002] * 3)
    *_, judged = edge.measurements_of([0.02, 0.03, 0.08], recorder, interval_s=0.1)
    assert isinstance(judged, Measurement)
    assert judged.bar == pytest.approx(100 + 1.5 * 12)
    assert judged.met
    *_, of_four = edge.measurements_of([0.02, 0.03, 0.08], recorder, interval_s=0.1, cameras=4)
    assert of_four.bar == pytest.approx(100 + 1.5 * 4 * 12)

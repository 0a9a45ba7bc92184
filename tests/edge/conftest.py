"""Fixtures of the tests of edge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import config, drivers
from edge.config import Settings
from edge.inference.bundle import Bundle, Model, unpack
from edge.service import models
from tests.data_sets import DATA
from tests.edge.parts import RecordingPublisher, Systemd, write_clip


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The defaults, outputs on the console."""
    return config.load(None, {"alert.driver": "console"})


@pytest.fixture(scope="session")
def classifier_path() -> Path:
    return models.shipped_model("classifier")


@pytest.fixture(scope="session")
def detector_path() -> Path:
    return models.shipped_model("detector")


@pytest.fixture(scope="session")
def classifier_bundle(classifier_path: Path) -> Bundle:
    return unpack(classifier_path)


@pytest.fixture(scope="session")
def classifier_model(classifier_bundle: Bundle) -> Model:
    return Model(classifier_bundle, drivers.open_interpreter(classifier_bundle.flatbuffer), "shipped")


@pytest.fixture
def mock_pins(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """gpiozero's own simulated pins, new for every test."""
    devices = pytest.importorskip("gpiozero", reason="gpiozero is not installed").Device
    mock = pytest.importorskip("gpiozero.pins.mock")
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    devices.pin_factory = mock.MockFactory()
    yield devices.pin_factory
    devices.pin_factory.reset()
    devices.pin_factory = None


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the data sets, which are not part of the project."""
    if not DATA.is_dir():
        pytest.skip(f"no data sets at {DATA}; set FMD_DATA")
    return DATA


@pytest.fixture
def publisher() -> Iterator[RecordingPublisher]:
    """A publisher that stops to hang when the test ends."""
    made = RecordingPublisher()
    yield made
    made.free.set()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    """The receiver of the messages to systemd."""
    listening = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    yield listening
    listening.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Eight frames of noise."""
    return write_clip(tmp_path / "clip.mp4", frames=8)

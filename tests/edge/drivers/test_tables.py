"""The driver tables: a new driver of each kind works with its entry, its driver and its settings, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, get_args, get_type_hints

import msgspec
import numpy as np
import pytest

from edge import config, drivers, paths
from edge.config import AlertSettings, CameraSettings, ModelSettings, Settings
from edge.contracts import CameraState, ConfiguredPublisher, Face, Frame, Health, Message, MessageKind
from edge.drivers.library import load
from edge.drivers.selection import camera_kind, needs_network, output_kind, secret_settings
from edge.drivers.server import ConfiguredServer
from edge.drivers.table import (
    CAMERAS,
    DETECTORS,
    OUTPUTS,
    PUBLISHERS,
    RUNTIMES,
    SERVERS,
    TABLES,
    CameraDriver,
    DetectorDriver,
    NetworkDriver,
    OutputDriver,
    RuntimeDriver,
)
from edge.errors import CameraError
from edge.flash.settings import gathered
from edge.reporting.reporter import open_reporting
from edge.reporting.servers import Servers
from edge.service import run as service
from tests.edge.parts import ROOT, frame_of, texture, wait_for

STANDARD_LIBRARY_ONLY = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != "edge":
            raise ImportError(f"{name} is not in the standard library")

sys.meta_path.insert(0, Blocked())
from edge.drivers import selection, table
print(selection.needs_network({"mqtt.host": "broker"}.get), sorted(selection.secret_settings()))
print(*sorted(name for name in sys.modules if name.startswith("edge.drivers.")))
"""


def test_the_tables_can_be_read_with_the_standard_library_only() -> None:
    command = [sys.executable, "-c", STANDARD_LIBRARY_ONLY]
    read = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert read.stderr == ""
    first, modules = read.stdout.splitlines()
    assert first == f"True {sorted(secret_settings())}"
    assert modules == "edge.drivers.library edge.drivers.selection edge.drivers.table"


def test_every_entry_names_an_object_of_its_driver() -> None:
    for table in TABLES:
        for kind, driver in table.items():
            if table is not RUNTIMES:  # a machine has one of them
                assert callable(load(driver.opens)), kind


def test_the_tables_name_settings_that_exist() -> None:
    keys = {f"{section}.{key}" for section, hints in _sections().items() for key in hints}
    switches = {key for table in (PUBLISHERS, SERVERS) for driver in table.values() for key in driver.enabled_by}
    assert secret_settings() | switches <= keys


def test_the_settings_offer_the_drivers_of_the_tables() -> None:
    offered = get_type_hints(AlertSettings)["driver"]
    assert set(get_args(offered)) == {"auto", *(kind for kind, driver in OUTPUTS.items() if driver.pins != "path")}
    assert get_args(get_type_hints(ModelSettings)["runtime"]) == ("auto", *RUNTIMES)


def _sections() -> dict[str, dict[str, Any]]:
    return {section: get_type_hints(kind) for section, kind in get_type_hints(Settings).items()}


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, False),
        ({"camera.source": "/dev/video0", "metrics.port": 0, "mqtt.host": ""}, False),
        ({"camera.source": "door.mp4"}, False),
        ({"mqtt.host": "broker"}, True),
        ({"metrics.port": 9100}, True),
        ({"notify.urls": ["json://host"]}, True),
        ({"notify.urls_file": "urls"}, True),
        ({"camera.source": "rtsp://camera/1"}, True),
        ({"camera.sources": {"door": "picamera2", "hall": "rtsp://camera/1"}}, True),
    ],
)
def test_the_service_needs_the_network_only_for_drivers_that_use_it(settings: dict[str, Any], needed: bool) -> None:
    assert needs_network(lambda key: settings.get(key, "")) is needed


# Cameras


class FakeCamera:
    live = True

    def __init__(self, settings: CameraSettings, name: str, clock: Callable[[], float]) -> None:
        self.name, self.width, self._clock = name, settings.width, clock

    def read(self) -> Frame | None:
        return frame_of(texture(48, self.width), self._clock())

    def close(self) -> None:
        """Nothing to release."""


@pytest.fixture
def camera_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAMERAS, "fake", CameraDriver(f"{__name__}:FakeCamera", auto=True, network=True))


@pytest.mark.usefixtures("camera_entry")
def test_a_camera_needs_its_entry_and_its_driver_only() -> None:
    settings = config.load(None, {"camera.source": "fake:2", "camera.width": 64}).camera
    camera = drivers.open_camera(settings, lambda: 5.0)
    frame = camera.read()
    assert isinstance(camera, FakeCamera)
    assert frame is not None
    assert (camera.name, frame.image.shape, frame.captured_s) == ("2", (48, 64, 3), 5.0)
    assert drivers.is_live(settings)
    assert needs_network({"camera.source": "fake:2"}.get)


@pytest.mark.usefixtures("camera_entry")
def test_auto_tries_the_entries_that_say_so_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [kind for kind, driver in CAMERAS.items() if driver.auto and kind != "fake"]:
        monkeypatch.setitem(CAMERAS, name, CameraDriver(f"{__name__}:unplugged", auto=True))
    camera = drivers.open_camera(config.load(None, {"camera.source": "auto"}).camera, lambda: 0.0)
    frame = camera.read()
    assert frame is not None
    assert frame.device.startswith("fake")


def unplugged(*arguments: object) -> None:
    raise CameraError("no camera here")


def test_an_entry_says_whether_a_camera_is_live_and_repeats_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CAMERAS, "fake", CameraDriver(f"{__name__}:FakeCamera", live=False, repeats=True))
    settings = config.load(None, {"camera.source": "fake:", "camera.frozen_stream_s": 7.0}).camera
    assert camera_kind("fake:") == ("fake", "")
    assert not drivers.is_live(settings)
    assert drivers.frozen_s(settings) == 7.0


# Outputs


class FakeOutput:
    def __init__(self, name: str, pin: int | str, active_high: bool) -> None:
        self.made = (name, pin, active_high)
        self.on = False

    def set(self, on: bool) -> None:
        self.on = on

    def close(self) -> None:
        self.set(False)


def test_an_output_needs_its_entry_and_its_driver_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OUTPUTS, "fake", OutputDriver(f"{__name__}:FakeOutput"))
    settings: Any = msgspec.structs.replace(config.load().alert, driver="fake", active_high=False)
    output = drivers.open_output(settings, "led", "port 3")
    assert isinstance(output, FakeOutput)
    assert output.made == ("led", "port 3", False)


def test_an_entry_says_which_pins_its_output_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [output_kind(driver, pin) for driver in ("auto", "gpiod", "console") for pin in (17, "PQ.05", "/sys/lamp")]
    assert before == ["gpiozero", "gpiod", "file", "gpiod", "gpiod", "file", "console", "console", "console"]
    monkeypatch.setitem(OUTPUTS, "fake", OutputDriver(f"{__name__}:FakeOutput"))
    assert [output_kind("fake", pin) for pin in (17, "/sys/lamp")] == ["fake", "fake"]


# Runtimes


class FakeInterpreter:
    """The part of TFLite's Interpreter that fmd uses: one float input, copied to one output."""

    def __init__(self, model_content: bytes, num_threads: int) -> None:
        self.made = (model_content, num_threads)
        self._tensor: Any = None

    def allocate_tensors(self) -> None:
        """Nothing to allocate."""

    def get_input_details(self) -> list[dict[str, Any]]:
        return [{"index": 0, "name": "t", "shape": [1, 2], "dtype": np.float32, "quantization": (0.0, 0)}]

    get_output_details = get_input_details

    def set_tensor(self, index: int, tensor: Any) -> None:
        self._tensor = tensor

    def invoke(self) -> None:
        """The output is the input."""

    def get_tensor(self, index: int) -> Any:
        return self._tensor


def test_a_runtime_needs_its_entry_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RUNTIMES:
        monkeypatch.setitem(RUNTIMES, name, RuntimeDriver("edge.no_such_module:Interpreter"))
    monkeypatch.setitem(RUNTIMES, "fake", RuntimeDriver(f"{__name__}:FakeInterpreter"))
    interpreter = drivers.open_interpreter(b"....TFL3", threads=3)
    assert interpreter.runtime.startswith("fake ")
    assert interpreter.run(np.ones((1, 2), np.float32))[0].tolist() == [[1.0, 1.0]]


# Detectors


class FakeDetector:
    def __init__(self, path: Path, min_score: float) -> None:
        self.made = (path.name, min_score)

    def detect(self, frame: Frame) -> tuple[Face, ...]:
        return ()


def test_a_detector_needs_its_entry_and_its_driver_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, classifier_path: Path
) -> None:
    monkeypatch.setitem(DETECTORS, "fake", DetectorDriver(f"{__name__}:FakeDetector", suffixes=(".fake", ".fk")))
    settings = config.load(None, {"model.detector": "models/Faces.FAKE", "detect.min_score": 0.2})
    detector = service.open_detector(settings)
    assert isinstance(detector, FakeDetector)
    assert detector.made == ("Faces.FAKE", 0.2)
    # fmd flash copies the file without looking for a contract in it.
    (tmp_path / "faces.fk").write_bytes(b"any format")
    etc = gathered(None, {"detector": tmp_path / "faces.fk", "classifier": classifier_path})
    assert etc.files["faces.fk"] == b"any format"


# Publishers and servers


class PagerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    number: str
    key_file: str


class ScreenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    port: int


class ExtendedSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings with a section for each of the two fakes below, as a contributor adds them to edge/sections.py."""

    pager: PagerSettings
    screen: ScreenSettings


def extended(number: str, port: int) -> ExtendedSettings:
    plain = msgspec.to_builtins(config.load())
    sections = {"pager": {"number": number, "key_file": "pager.key"}, "screen": {"port": port}}
    return msgspec.convert({**plain, **sections}, ExtendedSettings)


class FakePublisher:
    kinds = frozenset({MessageKind.STATE})

    made: ClassVar[list[FakePublisher]] = []

    def __init__(self, number: str) -> None:
        self.number, self.sent = number, list[Message]()
        self.made.append(self)

    def open(self) -> None:
        """Nothing to open."""

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def close(self) -> None:
        """Nothing to close."""


def configured_pager(
    settings: ExtendedSettings, runtime: Path | None, command: object
) -> Iterator[ConfiguredPublisher]:
    yield ConfiguredPublisher("pager", settings.pager, partial(FakePublisher, settings.pager.number))


PAGER = NetworkDriver(
    f"{__name__}:configured_pager", network=True, secrets=("pager.key_file",), enabled_by=("pager.number",)
)


def test_a_publisher_needs_its_entry_its_driver_and_its_settings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PUBLISHERS, "pager", PAGER)
    assert list(drivers.publishers(extended("", 0))) == []
    (configured,) = drivers.publishers(extended("555", 0))
    publisher = configured.open()
    assert isinstance(publisher, FakePublisher)
    assert (configured.name, publisher.number) == ("pager", "555")
    assert needs_network({"pager.number": "555"}.get)
    assert not needs_network({"pager.number": ""}.get)
    with open_reporting(extended("777", 0)) as reporting:
        reporting.on_health(Health("", CameraState.LOST, 5.0, "unplugged"))
        pager = FakePublisher.made[-1]
        wait_for(lambda: bool(pager.sent))
    assert (pager.number, pager.sent[0].kind) == ("777", MessageKind.STATE)


def test_flash_keeps_the_secret_of_a_publisher_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(PUBLISHERS, "pager", PAGER)
    monkeypatch.setitem(paths.FILE_SETTINGS, "pager", ("key_file",))
    settings = extended("555", 0)
    monkeypatch.setattr(config, "read", lambda path, overrides, over: settings)
    (tmp_path / "pager.key").write_text("hush")
    (tmp_path / "fmd.toml").write_text('[pager]\nnumber = "555"\nkey_file = "pager.key"\n')
    etc = gathered(tmp_path / "fmd.toml", {})
    assert (list(etc.files), sorted(etc.secrets), list(etc.drop_ins)) == ([], ["fmd.toml", "pager.key"], ["network"])


SCREENS: list[int] = []
"""Ports of the fake servers that listen."""


class FakeServer:
    def __init__(self, port: int, snapshot: Callable[[], Any]) -> None:
        self.port, self.snapshot = port, snapshot
        SCREENS.append(port)

    def close(self) -> None:
        SCREENS.remove(self.port)


def configured_screen(settings: ExtendedSettings, snapshot: Callable[[], Any]) -> Iterator[ConfiguredServer]:
    yield ConfiguredServer("screen", settings.screen, partial(FakeServer, settings.screen.port, snapshot))


def test_a_server_needs_its_entry_its_driver_and_its_settings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = NetworkDriver(f"{__name__}:configured_screen", network=True, enabled_by=("screen.port",))
    monkeypatch.setitem(SERVERS, "screen", screen)
    assert list(drivers.servers(extended("", 0), dict)) == []
    (configured,) = drivers.servers(extended("", 8080), lambda: {"frames": 3})
    server: Any = configured.open()
    assert (configured.name, server.port, server.snapshot()) == ("screen", 8080, {"frames": 3})
    server.close()
    assert needs_network({"screen.port": 8080}.get)
    running = Servers(dict)
    running.begin(extended("", 8081))
    assert SCREENS == [8081]
    running.close()
    assert SCREENS == []

"""Presence sensors: the real libraries on a bus in memory, faults of a bus, and the sensor in a file."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge import drivers
from edge.contracts import Sensed
from edge.drivers.depth import Vl53l5cx
from edge.drivers.i2c import POLL_S, Bus
from edge.drivers.sensor_file import SensorFile
from edge.drivers.table import SENSORS
from edge.drivers.thermal import Amg8833, Mlx90640, Mlx90640Wide
from edge.errors import SensorError
from tests.edge.drivers.i2c_devices import Amg8833Device, Device, Mlx90640Device, bus_with, sensor_settings

ROOM = np.full((8, 8), 21.0, np.float32)
WARM = np.where(np.indices((8, 8)).sum(axis=0) == 5, np.float32(33.25), ROOM)


def test_an_amg8833_gives_the_warmth_of_each_cell() -> None:
    pytest.importorskip("adafruit_amg88xx")
    bus, memory = bus_with({0x69: Amg8833Device(WARM)})
    sensor = Amg8833(sensor_settings(driver="amg8833"), bus=bus)
    assert (sensor.sensed, sensor.field_deg) == (Sensed.WARMTH, (60.0, 60.0))
    np.testing.assert_array_equal(sensor.read(), WARM)
    memory.devices[0x69] = Amg8833Device(np.full((8, 8), -5.5, np.float32))
    np.testing.assert_array_equal(sensor.read(), -5.5)
    sensor.close()
    assert memory.closed


def raws(of: float, warm: float) -> Any:
    """Return raw values of cells, of which the upper left quarter differs."""
    found = np.full((24, 32), of, np.int16)
    found[:12, :16] = warm
    return found


def test_an_mlx90640_gives_whole_pictures_and_the_bus_is_not_asked_without_a_pause() -> None:
    pytest.importorskip("adafruit_mlx90640")
    pauses: list[float] = []
    device = Mlx90640Device(raws(100, 400), broken=[5], busy=3)
    bus, _ = bus_with({0x33: device}, pauses)
    sensor = Mlx90640(sensor_settings(driver="mlx90640"), bus=bus)
    values = sensor.read()
    assert values.shape == (24, 32)
    assert np.isnan(values[0, 5])
    warm, room = np.nanmean(values[:12, :16]), np.nanmean(values[12:])
    assert -40 < room < warm < 300
    assert np.nanstd(values[12:]) < 1
    # Twice three questions in vain.
    assert pauses.count(POLL_S) >= 6
    # Opened again, as after a fault: the library keeps broken cells in its class.
    assert np.isnan(Mlx90640Wide(sensor_settings(), bus=bus_with({0x33: device})[0]).read()[0, 5])


def test_a_bus_in_short_circuit_is_refused_instead_of_computed_for_ever() -> None:
    pytest.importorskip("adafruit_mlx90640")

    class Zeros(Device):
        def write(self, data: bytes) -> None: ...

        def read(self, count: int) -> bytes:
            return bytes(count)

    with pytest.raises(SensorError, match=r"0x33 of /dev/i2c-1.*calibration is empty.*i2cdetect -y 1"):
        Mlx90640(sensor_settings(), bus=bus_with({0x33: Zeros()})[0])


@pytest.mark.parametrize(("kind", "library"), [(Amg8833, "adafruit_amg88xx"), (Mlx90640, "adafruit_mlx90640")])
def test_a_missing_sensor_names_address_and_bus(kind: Any, library: str) -> None:
    pytest.importorskip(library)
    bus, memory = bus_with({})
    with pytest.raises(SensorError, match=r"at address 0x15 of /dev/i2c-3"):
        kind(sensor_settings(bus=3, address=0x15), bus=bus)
    assert memory.closed


def test_a_sensor_that_is_unplugged_raises_and_closes() -> None:
    pytest.importorskip("adafruit_amg88xx")
    bus, memory = bus_with({0x69: Amg8833Device(ROOM)})
    sensor = Amg8833(sensor_settings(), bus=bus)
    memory.unplugged = True
    with pytest.raises(SensorError, match=r"amg8833 does not answer: .*Remote I/O error"):
        sensor.read()
    sensor.close()


def test_a_missing_bus_or_permission_says_what_to_do() -> None:
    def refuse(error: OSError) -> Any:
        def opened(number: int) -> None:
            raise error

        return SimpleNamespace(SMBus=opened)

    with pytest.raises(SensorError, match="raspi-config nonint do_i2c 0"):
        Bus(1, refuse(FileNotFoundError(2, "No such file")))
    with pytest.raises(SensorError, match="may not open /dev/i2c-1; sudo adduser"):
        Bus(1, refuse(PermissionError(13, "Permission denied")))


class DepthLibrary:
    """Stand-in for qwiic_vl53l5cx: a sensor that is ready after ``ready`` questions."""

    def __init__(self, begins: bool = True, ready: int = 2) -> None:
        self.begins, self.ready, self.stopped = begins, ready, False
        self.data = SimpleNamespace(distance_mm=[1500] * 64, target_status=[5] * 64)
        self.kResolution8x8 = 64
        self.fails = False

    def QwiicVL53L5CX(self, address: int | None, bus: object) -> DepthLibrary:  # noqa: N802
        return self

    def begin(self) -> bool:
        return self.begins

    def set_resolution(self, cells: int) -> None: ...

    def set_ranging_frequency_hz(self, rate: int) -> None: ...

    def start_ranging(self) -> None: ...

    def stop_ranging(self) -> None:
        self.stopped = True

    def check_data_ready(self) -> bool:
        self.ready -= 1
        if self.fails:
            raise OSError(121, "Remote I/O error")
        return self.ready < 0

    def get_ranging_data(self) -> Any:
        return self.data


class DepthBus:
    """Stand-in for qwiic_i2c's driver: what it holds open."""

    def __init__(self) -> None:
        self.i2cbus, self.closed = self, 0

    def close(self) -> None:
        self.closed += 1


def depth(library: DepthLibrary, bus: DepthBus | None = None) -> Vl53l5cx:
    return Vl53l5cx(sensor_settings(driver="vl53l5cx"), "", library, bus or DepthBus(), lambda seconds: None)


def test_a_vl53l5cx_gives_metres_and_leaves_out_what_is_not_sure() -> None:
    library = DepthLibrary()
    library.data.distance_mm[9], library.data.target_status[9] = 700, 9
    library.data.target_status[10] = 255
    sensor = depth(library, bus := DepthBus())
    values = sensor.read()
    assert (sensor.sensed, values.shape) == (Sensed.DISTANCE, (8, 8))
    assert values[0, 0] == pytest.approx(1.5)
    assert values[1, 1] == pytest.approx(0.7)
    assert np.isnan(values[1, 2])
    sensor.close()
    assert library.stopped
    assert bus.closed == 1


def test_a_vl53l5cx_that_is_missing_silent_or_unplugged_raises() -> None:
    with pytest.raises(SensorError, match="vl53l5cx on /dev/i2c-1: no sensor"):
        depth(DepthLibrary(begins=False), bus := DepthBus())
    assert bus.closed == 1
    with pytest.raises(SensorError, match="gives no distances for 1 s"):
        depth(DepthLibrary(ready=1000)).read()
    library = DepthLibrary()
    sensor = depth(library)
    library.fails = True
    with pytest.raises(SensorError, match=r"vl53l5cx does not answer: .*Remote"):
        sensor.read()


def test_the_stand_in_of_the_depth_library_has_its_methods() -> None:
    library = pytest.importorskip("qwiic_vl53l5cx.qwiic_vl53l5cx")
    used = {name for name in vars(DepthLibrary) if not name.startswith("_") and name != "QwiicVL53L5CX"}
    assert used <= set(dir(library.QwiicVL53L5CX))
    assert {"distance_mm", "target_status"} <= set(vars(library.RangingDataResults()))
    assert library.QwiicVL53L5CX.kResolution8x8 == 64


def file_sensor(path: Path, age_s: float = 0.0) -> SensorFile:
    return SensorFile(sensor_settings(), str(path), lambda seconds: None, lambda: path.stat().st_mtime + age_s)


def test_a_file_gives_what_another_program_measures(tmp_path: Path) -> None:
    path = tmp_path / "grid.txt"
    path.write_text("distance 40 30\n1.5 1.5 -\n1.5 0.7 1.5\n")
    sensor = drivers.open_sensor(sensor_settings(driver=f"file:{path}"))
    assert (sensor.sensed, sensor.field_deg) == (Sensed.DISTANCE, (40.0, 30.0))
    np.testing.assert_array_equal(sensor.read(), np.array([[1.5, 1.5, np.nan], [1.5, 0.7, 1.5]], np.float32))
    path.write_text("warmth 60 60\n20 21\n")
    assert sensor.read().tolist() == [[20, 21]]
    assert sensor.sensed is Sensed.WARMTH


@pytest.mark.parametrize(
    "text",
    [
        "",
        "warmth\n1",
        "heat 60 60\n1",
        "warmth 0 60\n1",
        "warmth nan 60\n1",
        "warmth 60 60",
        "warmth 60 60\n1 2\n3",
        "warmth 60 60\nx",
        "warmth 60 60\n" + "1 " * 5000,
        "\0" * 100_000,
    ],
)
def test_a_file_that_is_no_grid_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "grid.txt"
    path.write_text(text)
    with pytest.raises(SensorError, match=r"grid"):
        file_sensor(path)


def test_a_file_that_nobody_writes_any_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "grid.txt"
    path.write_text("warmth 60 60\n20 21\n")
    with pytest.raises(SensorError, match="not written for 5 s; start the program"):
        file_sensor(path, age_s=5)
    with pytest.raises(SensorError, match="No such file"):
        SensorFile(sensor_settings(), str(tmp_path / "none"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SensorError, match="pipe"):
        SensorFile(sensor_settings(), str(tmp_path / "pipe"))


def test_every_kind_of_the_table_can_be_set() -> None:
    for kind in SENSORS:
        assert sensor_settings(driver=kind if kind != "file" else "file:/x")
        assert drivers.sensor_kind(kind)[0] == kind

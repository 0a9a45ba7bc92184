"""Reads the presence sensor in a thread of its own, and opens it again after a fault. The loop never waits for it.

A sensor that is missing, broken, silent or stuck gives no reading, which counts for nothing: alarms are as without one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from edge import drivers, state_file
from edge.config import SensorSettings
from edge.contracts import Floats, Reading, Sensor
from edge.errors import SensorError
from edge.stages.presence import Counts

log = logging.getLogger(__name__)

AGAIN_S = 5.0
"""Interval between two tries to open a sensor."""
SILENT_S = 3.0
"""Time without a reading after which a sensor that raises no error is silent."""
STUCK_S = 10.0
"""Time of equal values, to the last bit, after which a sensor is stuck: real ones have noise."""
FIRST_S = 3.0
"""How long a run waits for the first reading, before its first frame."""
CLOSE_S = 1.0
"""How long the end waits for the thread: a bus may hang."""


NAME = "sensor.json"
"""File in the state folder that keeps what a sensor has learned over a restart."""


class Learned(msgspec.Struct, frozen=True):
    """How many people the sensor missed and saw, as long as it hangs as ``settings`` say."""

    settings: SensorSettings
    missed: float
    seen: float


class SensorReader:
    """The newest reading of the sensor that ``opens`` opens; :meth:`run` is its thread's.

    ``file`` keeps what it learns, None keeps nothing. ``repeats`` is whether equal values again and again are no fault.
    ``wait`` waits up to some seconds and returns whether to end.
    """

    def __init__(
        self,
        settings: SensorSettings,
        opens: Callable[[], Sensor],
        clock: Callable[[], float],
        wait: Callable[[float], bool],
        repeats: bool = False,
        file: Path | None = None,
    ) -> None:
        self._settings, self._opens, self._clock, self._wait = settings, opens, clock, wait
        self._repeats, self._file = repeats, file
        self._unsaved: Counts | None = None
        self._newest: Reading | None = None
        self._fault = ""
        self._heard_s = clock()
        self._changed_s = clock()
        self._before: Floats | None = None
        self._heard = threading.Event()

    @property
    def newest(self) -> Reading | None:
        """See :class:`edge.contracts.SensorFeed`."""
        return None if self.fault else self._newest

    @property
    def fault(self) -> str:
        """See :class:`edge.contracts.SensorFeed`."""
        if self._fault:
            return self._fault
        silent_s = self._clock() - self._heard_s
        return f"no reading for more than {SILENT_S:.0f} s" if silent_s > SILENT_S else ""

    @property
    def counts(self) -> Counts:
        """What the sensor has learned in an earlier run with these settings."""
        known = state_file.read_state(self._file, Learned) if self._file else None
        return Counts(known.missed, known.seen) if known and known.settings == self._settings else Counts()

    def keep(self, counts: Counts) -> None:
        """Note what the sensor has learned; its thread writes it down, as the loop does not wait for a disk."""
        self._unsaved = counts

    def wait_for_first(self) -> None:
        """Wait for the first reading or fault, at most FIRST_S: a poster that hangs there gives no first alarm."""
        self._heard.wait(FIRST_S)

    def run(self) -> None:
        """Open, read, and open again after each fault, until ``wait`` returns True."""
        while True:
            try:
                sensor = self._opens()
            except SensorError as error:
                self._report(str(error))
            else:
                try:
                    while not self._wait(0.0):
                        self._read(sensor)
                        self._save()
                except SensorError as error:
                    self._report(str(error))
                finally:
                    sensor.close()
            if self._wait(AGAIN_S):
                return

    def _read(self, sensor: Sensor) -> None:
        began_s = self._clock()
        values = sensor.read()
        ended_s = self._clock()
        self._heard_s = ended_s
        if self._before is None or not np.array_equal(values, self._before, equal_nan=True):
            self._before, self._changed_s = values, ended_s
        elif not self._repeats and ended_s - self._changed_s >= STUCK_S:
            raise SensorError(f"the same values for {STUCK_S:.0f} s; switch its supply off and on")
        if not np.isfinite(values).any():
            raise SensorError("it measures nothing at all; check its wires and its lens")
        self._newest = Reading(sensor.sensed, turned(values, self._settings), self._field(sensor), began_s, ended_s)
        if self._fault:
            log.info("presence sensor works again")
        self._fault = ""
        self._heard.set()

    def _save(self) -> None:
        counts, self._unsaved = self._unsaved, None
        if counts is None or self._file is None:
            return
        try:
            state_file.write_state(self._file, Learned(self._settings, *counts))
        except OSError as error:
            log.warning("%s: %s; the presence sensor learns again after a restart", self._file, error.strerror)

    def _field(self, sensor: Sensor) -> tuple[float, float]:
        width, height = sensor.field_deg
        return (height, width) if self._settings.rotate % 180 else (width, height)

    def _report(self, fault: str) -> None:
        if fault != self._fault:
            log.warning("presence sensor: %s; alarms are as without it", fault)
        self._fault, self._before, self._changed_s = fault, None, self._clock()
        self._heard.set()


def turned(values: Floats, settings: SensorSettings) -> Floats:
    """Return values (rows, columns) as the camera sees them: turned by ``sensor.rotate``, then mirrored."""
    upright = np.rot90(values, -(settings.rotate // 90))
    return np.ascontiguousarray(upright[:, ::-1] if settings.mirror else upright)


@contextmanager
def reading(settings: SensorSettings, clock: Callable[[], float], state: Path | None) -> Iterator[SensorReader | None]:
    """Read the sensor of the settings until the end; yield None if there is none. ``state`` is the state folder."""
    if settings.driver == "none":
        yield None
        return
    done = threading.Event()
    repeats = drivers.sensor_repeats(settings)
    reader = SensorReader(
        settings, lambda: drivers.open_sensor(settings), clock, done.wait, repeats, state and state / NAME
    )
    thread = threading.Thread(target=reader.run, name="sensor", daemon=True)
    thread.start()
    try:
        yield reader
    finally:
        done.set()
        thread.join(CLOSE_S)

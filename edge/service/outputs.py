"""Outputs of a run: opened switched off, and switched off and released on every way out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import msgspec

from edge import config, drivers, paths
from edge.config import Settings
from edge.contracts import Output
from edge.service import outputs_off
from edge.stages.alert import Alert, OptionalOutput, alarms

log = logging.getLogger(__name__)


@contextmanager
def open_alert(settings: Settings, clock: Callable[[], float]) -> Iterator[Alert]:
    """Open all outputs, switched off; whatever happens inside, they are off and released afterwards.

    Heartbeat and voice are optional: watching goes on without them. The voice is not if nothing else gives an alarm.
    """
    with ExitStack() as stack:
        # Before the first pin is driven: a kill at any later moment finds the record.
        outputs_off.remember(settings.alert, paths.runtime_folder())
        outputs: dict[str, Output] = {}
        for name, open_output in _openers(settings):
            optional = name == "heartbeat" or (name == "voice" and alarms(settings.alert) & outputs.keys())
            outputs[name] = OptionalOutput(name, open_output, clock) if optional else open_output()
            # Each at once: if the next output cannot be opened, this one is released.
            stack.callback(outputs[name].close)
        alert = Alert(settings.alert, outputs.pop("led", None), outputs.pop("buzzer", None), **outputs)
        stack.callback(alert.close)
        yield alert


def open_voice(settings: Settings) -> Output:
    """Return the voice that the settings name, silent; it speaks the shipped sound if they name none."""
    return drivers.open_voice(settings.voice, Path(settings.voice.file or paths.SHIPPED_SOUND))


def _openers(settings: Settings) -> Iterator[tuple[str, Callable[[], Output]]]:
    """Yield each output's name and what opens it, the voice last: whether it is optional depends on the others."""
    # An optional output is tried again later, so it must not hold up the start until its pin is free.
    for name, pin in config.wired(settings.alert):
        its = drivers.output_settings(settings, pin)
        if its.driver != settings.alert.driver:
            log.info("alert.driver auto: a PC has no pins, so %s (%s) is on the console only", name, pin)
        if name == "heartbeat":
            its = msgspec.structs.replace(its, busy_s=0.0)
        yield name, partial(drivers.open_output, its, name, pin)
    if settings.voice.enabled:
        yield "voice", partial(open_voice, settings)

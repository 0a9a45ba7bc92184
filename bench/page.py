"""What the web page costs the step: served without viewers, two viewers, reports, 200 clients, a flood of requests.

The pipeline processes the built-in scene in real time. Each second the clients are switched on or off, and the next
round has the other order: so the two sides take turns within seconds, on the same frames. Clients are processes of
their own, which are stopped and continued by signals.

Viewers ask for the live state twice and for a picture five times a second, each for a picture of another size, so that
no picture is shared. Reports follow each other, each in a child process of its own. The 200 clients connect ten times a
second, and send garbage. The flood is a page that was taken over: two clients that send requests as fast as they get
replies.

The bars apply to the processor time of the loop's thread: the median of the ratios of equal frames, on and off. The
thread spends none while it waits for Python's lock or for a processor, so that wall-clock time is printed as well. On a
busy machine that shows the clients' own processor time. Without viewers only the page's listener costs anything; it is
measured by itself.
"""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.measure import Measurement, report
from edge import config
from edge.contracts import Delivery, Frame
from edge.control import Client
from edge.drivers.doorway import FPS, DoorwayCamera
from edge.errors import ControlError
from edge.page_messages import (
    LONG_S,
    SOCKET,
    LiveReply,
    LiveRequest,
    PictureReply,
    PictureRequest,
    Reply,
    ReportReply,
    ReportRequest,
)
from edge.page_service.serving import RunParts, serving_page
from edge.reporting.listener import Listener, report_step
from edge.reporting.live_state import LiveState
from edge.service.arming_control import ArmingControl, BoardClock
from edge.service.reloads import Reloads
from edge.service.run import build_pipeline
from edge.service.settings_keeper import SettingsKeeper
from edge.service.signals import RunControl
from edge.stages.alert import Alert

SERVED_BAR, VIEWERS_BAR, ATTACK_BAR = 1.01, 1.05, 1.05
"""Highest ratios to a run without: the page, its viewers, the clients of an attack."""
SIZES = ("640", "480")
CLIENTS = 200
RUSH, SHOUT, REPORT = "rush", "shout", "report"
BEGINS_S, ENDS_S = 1.0, 9.0
"""Part of the scene with a person in it."""
WINDOW = round(FPS)
"""Frames after which the sides change."""
LIVE_S, PICTURE_S = 0.5, 0.2
"""Intervals of a viewer's requests."""
START_S = 3.0
"""Time for the clients to load their libraries."""

Switch = Callable[[bool], object]
"""Switches what is measured on or off."""


class PageClient(Client):
    """A client of the page's socket."""

    SOCKET, REPLIES = SOCKET, Reply


def watch(folder: Path, width: int) -> None:
    """Ask as a viewer's page does, until killed."""
    number, live_s = 0, 0.0
    with PageClient(folder) as client:
        while True:
            if (now_s := time.monotonic()) >= live_s:
                client.ask(LiveRequest(), LiveReply)
                live_s = now_s + LIVE_S
            reply = client.ask(PictureRequest(after=number, width=width, boxes=True), PictureReply)
            number = reply.number or number
            time.sleep(PICTURE_S / 2)


def shout(folder: Path) -> None:
    """Send requests as fast as they are answered, until killed."""
    with PageClient(folder) as client:
        while True:
            client.ask(LiveRequest(), LiveReply)


def rush(folder: Path) -> None:
    """Connect with 200 clients at once, again and again, until killed."""
    while True:
        with ExitStack() as stack:
            for _ in range(CLIENTS):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                if client.connect_ex(str(folder / SOCKET)) == 0:
                    client.send(b"\xff" * 100)
        time.sleep(0.1)


def report_often(folder: Path) -> None:
    """Ask for reports, one after the other, until killed."""
    with PageClient(folder, LONG_S) as client:
        while True:
            with suppress(ControlError):  # there is no record, which only the child process finds
                client.ask(ReportRequest(), ReportReply)


def insist(ask: Callable[[Path], None], folder: Path) -> None:
    """Go on after a connection that was closed, as one that was stopped for too long is."""
    while True:
        try:
            ask(folder)
        except (ControlError, OSError):
            time.sleep(0.05)


@contextmanager
def clients(folder: Path, *kinds: str) -> Iterator[Switch]:
    """Run clients, stopped at first."""
    command = [sys.executable, "-m", "bench.page", str(folder)]
    # In sessions of their own: at Ctrl-C this process ends them, and each would print a traceback.
    running = [subprocess.Popen([*command, kind], start_new_session=True) for kind in kinds]

    def switch(on: bool) -> None:
        for each in running:
            each.send_signal(signal.SIGCONT if on else signal.SIGSTOP)

    try:
        time.sleep(START_S if running else 0.0)
        yield switch
        if any(each.poll() is not None for each in running):
            raise ControlError("a client of the benchmark has ended")
    finally:
        for each in running:
            each.kill()
            each.wait()


WAYS: dict[str, tuple[tuple[str, ...], float]] = {
    "served without viewers": ((), SERVED_BAR),
    "two viewers": (SIZES, VIEWERS_BAR),
    "reports in a row": ((REPORT,), VIEWERS_BAR),
    "200 clients": ((RUSH,), ATTACK_BAR),
    "a flood of requests": ((SHOUT, SHOUT), ATTACK_BAR),
}
"""Way -> kinds of the clients that are switched on and off, and the highest ratio."""


@dataclass
class Times:
    """Seconds of each frame: of the step by side (off, on), and of the page's listener."""

    cpu_s: dict[tuple[int, bool], list[float]] = field(default_factory=dict)
    wall_s: dict[tuple[int, bool], list[float]] = field(default_factory=dict)
    listener_s: float = 0.0

    def add(self, number: int, on: bool, cpu_s: float, wall_s: float) -> None:
        """Add a frame."""
        self.cpu_s.setdefault((number, on), []).append(cpu_s)
        self.wall_s.setdefault((number, on), []).append(wall_s)


class Ratio(NamedTuple):
    """Median of ratios of equal frames, and the 95% interval of that median."""

    median: float
    low: float
    high: float


def ratio(times: dict[tuple[int, bool], list[float]]) -> Ratio:
    """Return the time of a frame that is on over that of the same frame in the round beside, which is off."""
    pairs = [
        on / off
        for number in {number for number, _ in times}
        for on, off in zip(times[number, True], times[number, False], strict=True)
    ]
    ordered, count = sorted(pairs), len(pairs)
    # The ranks of a binomial distribution around its middle, which any distribution of the ratios has.
    reach = 0.98 * count**0.5
    low, high = max(0, int(count / 2 - reach)), min(count - 1, int(count / 2 + reach) + 1)
    return Ratio(ordered[count // 2], ordered[low], ordered[high])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m bench page``."""
    parser.add_argument("--rounds", type=int, default=8, help="rounds of each way, 8 s each (default: 8)")


def run(arguments: argparse.Namespace) -> int:
    """Measure all ways, and print their ratios."""
    frames = scene()
    rounds = max(2, arguments.rounds + arguments.rounds % 2)  # each frame as often on as off
    return report([each for way in WAYS for each in measured(way, frames, rounds)])


def measured(way: str, frames: Sequence[Frame], rounds: int) -> Iterator[Measurement]:
    """Measure one way, and yield its ratios."""
    (kinds, bar), times = WAYS[way], Times()
    with tempfile.TemporaryDirectory() as name, page_of(Path(name)) as listeners, clients(Path(name), *kinds) as switch:
        for number in range(rounds):
            one_round(frames, listeners, switch, bool(number % 2), times)
    if not kinds:
        steps_s = sum(sum(each) for each in times.cpu_s.values())
        yield Measurement(f"{way}: step, processor time", 1 + times.listener_s / steps_s, "x", bar)
        return
    for what, found in (("processor time", ratio(times.cpu_s)), ("wall-clock time", ratio(times.wall_s))):
        yield Measurement(f"{way}: step, {what}", found.median, "x", bar if what == "processor time" else None)
        yield Measurement(f"{way}: half of its 95% interval", (found.high - found.low) / 2, "x")


def scene() -> list[Frame]:
    """Return the frames with a person, drawn before the measurement."""
    camera = DoorwayCamera(config.load().camera, "", time.monotonic)
    frames = []
    while (frame := camera.read()) is not None and frame.captured_s < ENDS_S:
        if frame.captured_s >= BEGINS_S:
            frames.append(frame)
    return frames


def one_round(
    frames: Sequence[Frame], listeners: tuple[Listener, Listener], switch: Switch, first: bool, times: Times
) -> None:
    """Process all frames at their own pace, on and off by turns; ``first`` says how it begins.

    ``listeners`` are that of every run, and the page's.
    """
    settings = config.load(None, {"camera.source": "doorway", "model.threads": 1})
    pipeline = build_pipeline(settings, Alert(settings.alert, None, None))
    live, page = listeners
    for listener in listeners:
        listener.on_settings(settings)
        listener.on_models(())
    on, began_s = first, time.monotonic()
    for number, frame in enumerate(frames):
        if number % WINDOW == 0:
            on = first is ((number // WINDOW) % 2 == 0)
            switch(on)
        time.sleep(max(0.0, began_s + number / FPS - time.monotonic()))
        cpu_s, wall_s = time.thread_time(), time.perf_counter()
        step = pipeline.step(replace(frame, captured_s=time.monotonic()))
        report_step(live, step, Delivery(late_s=0.0))
        stepped_s = time.thread_time()
        report_step(page, step, Delivery(late_s=0.0))
        times.add(number, on, time.thread_time() - cpu_s, time.perf_counter() - wall_s)
        times.listener_s += time.thread_time() - stepped_s


@contextmanager
def page_of(folder: Path) -> Iterator[tuple[Listener, Listener]]:
    """Serve the page of a door, as ``fmd run`` does; yield the listener of every run, and the page's."""
    settings = config.load()
    live = LiveState(time.monotonic)
    run = RunParts(
        live=live,
        arming=ArmingControl(settings, BoardClock(None, lambda: True, lambda: True)),
        note=lambda kind, content: None,
        state=None,
        turns={},
        models=lambda settings: (),
        options=(),
        version="",
        repeats=logging.Filter(),
        reloads=Reloads(SettingsKeeper(lambda over: config.read(None, over=over)), RunControl()),
    )
    with serving_page(folder, run) as listener:
        yield live, listener


if __name__ == "__main__":
    runtime, kind = Path(sys.argv[1]), sys.argv[2]
    insist({RUSH: rush, SHOUT: shout, REPORT: report_often}.get(kind) or partial(watch, width=int(kind)), runtime)

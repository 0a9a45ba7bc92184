"""The whole line on the built-in scene with the models that ship: bare-faced, alarm; mask on, the alarm ends."""

from __future__ import annotations

import hashlib
import platform
import queue
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import cv2
import pytest

from edge import config, paths
from edge.contracts import Change, Decision, Outcome, Step
from edge.drivers import doorway, fake_picamera2
from edge.drivers.console import ConsoleOutput
from edge.drivers.pi_camera import PiCamera
from edge.reporting.listener import Callbacks
from edge.service import run as service
from edge.service.model_store import ModelStore
from edge.stages.alert import Alert
from tests.edge.parts import ROOT, fmd
from tests.edge.service.disks import read_only

pytest.importorskip("skimage", reason="scikit-image carries the scene's portrait")

LED, BUZZER = 17, 27


class Seen:
    """What one run of the scene led to; ``lit`` and ``sounding`` are the pins' states after each frame."""

    def __init__(self, pins: Any) -> None:
        settings = config.load(None, {"camera.source": "doorway", "alert.driver": "gpiozero"})
        self.steps: list[Step] = []
        self.decisions: list[Decision] = []
        self.lit: list[tuple[float, bool]] = []
        self.sounding: list[tuple[float, bool]] = []

        def on_step(step: Step) -> None:
            self.steps.append(step)
            self.lit.append((step.frame.captured_s, pins.pin(LED).state))
            self.sounding.append((step.frame.captured_s, pins.pin(BUZZER).state))

        service.run(settings, [Callbacks(on_step, self.decisions.append)])


@pytest.fixture(scope="module")
def pins() -> Iterator[Any]:
    mock = pytest.importorskip("gpiozero.pins.mock", reason="gpiozero is not installed")
    from gpiozero import Device

    Device.pin_factory = mock.MockFactory()
    yield Device.pin_factory
    Device.pin_factory.reset()
    Device.pin_factory = None


@pytest.fixture(scope="module")
def seen(pins: Any) -> Seen:
    return Seen(pins)


def between(states: list[tuple[float, bool]], from_s: float, to_s: float) -> set[bool]:
    return {state for at_s, state in states if from_s <= at_s < to_s}


def test_the_bare_face_is_a_violation_and_the_mask_makes_it_compliant(seen: Seen) -> None:
    assert [(d.change, d.passage.outcome) for d in seen.decisions] == [
        (Change.DECIDED, Outcome.VIOLATION),
        (Change.REVISED, Outcome.COMPLIANT),
        (Change.LEFT, Outcome.COMPLIANT),
    ]
    assert len({d.passage.id for d in seen.decisions}) == 1


def test_each_decision_comes_when_the_scene_says(seen: Seen) -> None:
    bare, masked, left = (d.at_s for d in seen.decisions)
    assert doorway.ENTERS_S < bare < doorway.MASKED_S
    assert doorway.MASKED_S < masked < doorway.MASKED_S + 2
    assert doorway.LEAVES_S < left < doorway.ENDS_S


def test_the_last_passage_holds_its_history(seen: Seen) -> None:
    last = seen.decisions[-1].passage
    assert last.violated
    assert last.label == "with_mask"
    assert last.observations > 20


def test_the_lamp_is_lit_exactly_while_the_alarm_lasts(seen: Seen) -> None:
    bare, masked, _ = (d.at_s for d in seen.decisions)
    assert between(seen.lit, 0, bare) == {False}
    assert between(seen.lit, bare, masked) == {True}
    assert between(seen.lit, masked, doorway.ENDS_S) == {False}


def test_the_buzzer_beeps_while_the_lamp_is_lit_and_only_then(seen: Seen) -> None:
    bare, masked, _ = (d.at_s for d in seen.decisions)
    assert between(seen.sounding, 0, bare) == {False}
    assert between(seen.sounding, bare, masked) == {True, False}
    assert between(seen.sounding, masked, doorway.ENDS_S) == {False}


def test_the_empty_doorway_sleeps(seen: Seen) -> None:
    asleep = [step for step in seen.steps if step.frame.captured_s > doorway.GONE_S and not step.awake]
    assert not any(step.alarm for step in asleep)
    assert all(not step.tracks for step in seen.steps if step.frame.captured_s < doorway.ENTERS_S)


def test_sigterm_while_the_alarm_is_on_leaves_the_pins_off(seen: Seen, pins: Any) -> None:
    lit: list[bool] = []

    def on_step(step: Step) -> None:
        if step.alarm:
            lit.append(pins.pin(LED).state)
            signal.raise_signal(signal.SIGTERM)

    settings = config.load(None, {"camera.source": "doorway", "alert.driver": "gpiozero"})
    assert service.run(settings, [Callbacks(on_step)]) == signal.SIGTERM
    assert lit == [True]
    assert not pins.pin(LED).state
    assert not pins.pin(BUZZER).state


def test_the_scene_through_the_pi_cameras_driver_is_decided_alike(pins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours that were swapped on the way would show here; so would a brightness plane of the wrong shape."""
    scene = doorway.DoorwayCamera(config.load().camera, "", lambda: 0.0)
    pictures = [scene.picture(i / doorway.FPS) for i in range(int(5.0 * doorway.FPS))]

    monkeypatch.setattr(fake_picamera2.Picamera2, "pictures", pictures)
    ticks = iter(range(10_000))
    camera = PiCamera(config.load().camera, "", lambda: next(ticks) / doorway.FPS, fake_picamera2)

    settings = config.load()
    alert = Alert(settings.alert, ConsoleOutput("led", 17, True), ConsoleOutput("buzzer", 27, True))
    pipeline = service.build_pipeline(settings, alert)
    outcomes = [d.passage.outcome for _ in pictures if (f := camera.read()) for d in pipeline.step(f).decisions]
    assert outcomes == [Outcome.VIOLATION]


NUMBER = r"\d+(?:\.\d+)?"
ONE_OBSERVATION = 1.0
"""Largest difference of a time or a count on another processor, whose arithmetic may round differently.

A decided person is observed about three times a second, so that one observation more shifts a time by 0.4 s.
"""


def same_lines(lines: list[str], expected: list[str], within: float) -> bool:
    """Whether the lines are the same, where no number is further away than ``within``."""
    texts = [[re.split(NUMBER, line.strip()) for line in each] for each in (lines, expected)]
    numbers = [[float(number) for line in each for number in re.findall(NUMBER, line)] for each in (lines, expected)]
    return texts[0] == texts[1] and all(abs(a - b) <= within for a, b in zip(*numbers, strict=True))


def test_the_demo_command_prints_it_and_writes_video_and_contact_sheet(tmp_path: Path) -> None:
    data, store = paths.shipped_model("classifier").read_bytes(), ModelStore(tmp_path / "state")
    store.switch("classifier", store.add(data, "classifier", hashlib.sha256(data).hexdigest()).name)
    found = fmd("demo", "--out", tmp_path / "out", STATE_DIRECTORY=str(tmp_path / "state"))
    assert found.returncode == 0, found.stderr
    assert str(paths.shipped_model("classifier")) in found.stderr
    assert str(store.folder) not in found.stderr  # an installed model does not change the demo
    lines = [line for line in found.stdout.splitlines() if " s  " in line]
    shown = [line.partition(" s  ")[2] for line in lines]
    assert [line.split("  ")[0] for line in shown] == ["ALARM", "ALARM", "-----", "-----", "-----"]
    assert "person 1: no mask (without_mask" in shown[0]
    assert "LED (GPIO17) and buzzer (GPIO27) on" in shown[1]
    assert "person 1: now mask (with_mask" in shown[2]
    assert "LED (GPIO17) and buzzer (GPIO27) off" in shown[3]
    assert "person 1: left, mask after a violation" in shown[4]
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    shown_there = [line for line in readme if " s  " in line]
    within = 0.0 if platform.machine() == "x86_64" else ONE_OBSERVATION
    assert same_lines(lines, shown_there, within), f"README.md shows other lines than the demo: {lines}"
    video = cv2.VideoCapture(str(tmp_path / "out" / "demo.webm"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(doorway.ENDS_S * doorway.FPS, abs=1)
    assert cv2.imread(str(tmp_path / "out" / "contact-sheet.png")).shape[1] == 4 * 320


@pytest.mark.parametrize("rotate", [0, 180, 270])
def test_the_scene_on_a_turned_camera_gives_votes_for_the_right_turn(rotate: int) -> None:
    settings = config.load(None, {"camera.source": "doorway", "camera.rotate": rotate, "alert.driver": "console"})
    votes: list[int] = []
    service.run(settings, [Callbacks(lambda step: votes.append(step.turned.degrees) if step.turned else None)])
    assert votes
    assert set(votes) == {-rotate % 360}


CHROMIUM = "/usr/bin/chromium"
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
PAGE = b"""<video src="demo.webm" muted autoplay></video><script>
const video = document.querySelector("video"), report = text => fetch("/report?" + text);
video.onerror = () => report("error " + video.error.message);
video.ontimeupdate = () => {
    if (video.currentTime < 1) return;
    video.ontimeupdate = null;
    report([video.videoWidth, video.videoHeight, Math.round(video.duration)].join("x"));
};
</script>"""


@pytest.mark.slow
def test_chromium_plays_the_video_of_the_demo(tmp_path: Path) -> None:
    if not Path(CHROMIUM).exists():
        pytest.skip("needs apt's chromium")
    assert fmd("demo", "--out", tmp_path).returncode == 0
    reports: queue.Queue[str] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/report?"):
                reports.put(unquote(self.path.partition("?")[2]))
            is_video = self.path == "/demo.webm"
            body = (tmp_path / "demo.webm").read_bytes() if is_video else PAGE
            self.send_response(200)
            self.send_header("Content-Type", "video/webm" if is_video else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    browser = subprocess.Popen(
        [CHROMIUM, *OPTIONS.split(), f"--user-data-dir={tmp_path / 'profile'}", address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert reports.get(timeout=60) == f"640x480x{doorway.ENDS_S:.0f}"
    finally:
        browser.kill()
        browser.wait()
        server.shutdown()
        server.server_close()


def test_a_folder_that_cannot_be_written_to_is_named_before_the_scene_is_played(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with read_only(folder):
        done = fmd("demo", "--out", folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {folder}: you may not write into this folder; name another with --out\n"

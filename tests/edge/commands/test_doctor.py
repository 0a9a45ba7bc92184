"""The doctor on machines made of files and answers, and the real one on this machine."""

from __future__ import annotations

import argparse
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge import board, config, overlay
from edge.commands import doctor
from edge.contracts import CameraState, Health
from edge.doctor import checks, probes
from edge.doctor.devices import holder_of
from edge.doctor.facts import Facts, Python, Ran
from edge.doctor.findings import Finding, Status, note
from edge.drivers.doorway import draw_doorway
from edge.errors import OutputError, SensorError
from edge.reporting.listener import Listeners
from edge.reporting.live_state import LiveState
from edge.reporting.status_file import StatusFile
from tests.edge.parts import ROOT, environment, fmd

GPIOINFO_1 = """gpiochip0 - 54 lines:
\tline  17:     "GPIO17"       unused   input  active-high
\tline  22:     "GPIO22"   "heater relay"  output  active-high [used]
\tline  27:     "GPIO27"       unused   input  active-high
\tline  10:     "GPIO10"  spi0_mosi  output  active-high [used]
"""
GPIOINFO_2 = """gpiochip0 - 54 lines:
\tline  17:\t"GPIO17"        \tinput
\tline  22:\t"GPIO22"        \toutput consumer="heater relay"
\tline  27:\t"GPIO27"        \tinput
\tline  10:\t"GPIO10"        \toutput consumer=spi0_mosi
"""
LOADED: dict[str, Any] = {
    "settings": {
        "camera": {"source": "picamera2", "fps": 15.0},
        "alert": {"driver": "auto"},
        "detect": {"every_s": 0.0},
        "metrics": {"port": 0},
    },
    "wired": [["led", 17, "gpiozero"], ["buzzer", 27, "gpiozero"]],
    "contact": [],
    "cameras": [{"name": "", "kind": "picamera2", "device": "", "source": "picamera2", "live": True}],
    "changes": {},
}
MODELS = {task: {"source": task, "runtime": "ai-edge-litert 2.3.0", "ms": 20.0} for task in ("detector", "classifier")}
NETWORK = {"kind": "stream", "device": "", "source": "rtsp://x/", "live": True}
PICTURE = {"seconds": 1.2, "brightness": 120.0, "blank": False, "second": ""}


@dataclass
class Answers:
    """Commands by a word in them, and how each ends. What is not here does not exist."""

    by_word: dict[str, Ran] = field(default_factory=dict)

    def __call__(self, words: Sequence[str]) -> Ran:
        said = " ".join(words)
        return next((ran for word, ran in self.by_word.items() if word in said), Ran(None, err="no such command"))


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.fixture
def pi(tmp_path: Path) -> Facts:
    """A Raspberry Pi in good health, its service installed and not running."""
    root = tmp_path / "root"
    for path, text in {
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.5\0",
        "proc/meminfo": "MemTotal: 3884000 kB\nMemAvailable: 3200000 kB\n",
        "proc/mounts": "/dev/mmcblk0p2 / ext4 rw,noatime 0 0\n",
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "etc/passwd": "root:x:0:0::/root:/bin/bash\nfmd:x:990:990::/var/lib/fmd:/bin/false\n",
        "etc/group": "root:x:0:\nvideo:x:44:fmd\ngpio:x:997:pi,fmd\n",
        board.FIRMWARE: "0\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "48312\n",
        "run/systemd/timesync/synchronized": "",
        "dev/gpiochip0": "",
        "opt/fmd/pyvenv.cfg": "home = /usr/bin\ninclude-system-site-packages = true\n",
    }.items():
        write(root, path, text)
    answers = Answers(
        {
            "probes settings": Ran(0, json.dumps(LOADED)),
            "probes models": Ran(0, json.dumps(MODELS)),
            "probes camera": Ran(0, json.dumps(PICTURE)),
            "probes extras": Ran(0, "{}"),
            "probes outputs": Ran(0, json.dumps({"shown": ["led (17)", "buzzer (27)"]})),
            "gpioinfo": Ran(0, GPIOINFO_1),
            "is-active": Ran(3),
            "systemctl show": Ran(0, "LoadState=loaded\nActiveState=active\nNRestarts=0\n"),
            "probes status": Ran(0, json.dumps({"watching": False, "cameras": []})),
            "import": Ran(0, "1.2.3\n"),
        }
    )
    python = Python((3, 11, 2), "aarch64", 64, (2, 36), "python3", str(root / "opt/fmd"), "/usr")
    return Facts(root, python, answers, user=0, groups=frozenset({0}), now_s=lambda: 1.8e9)


def examined(facts: Facts) -> list[Finding]:
    return list(doctor.examined(facts, []))


def answering(facts: Facts, word: str, ran: Ran) -> Facts:
    """The same machine, the commands with ``word`` in them ending otherwise."""
    assert isinstance(facts.run, Answers)
    others = {known: was for known, was in facts.run.by_word.items() if known != word}
    return replace(facts, run=Answers({word: ran, **others}))


def with_settings(facts: Facts, **changed: Any) -> Facts:
    """The same machine with other settings."""
    printed = {**LOADED, **{key: value for key, value in changed.items() if key in LOADED}}
    return answering(facts, "probes settings", Ran(0, json.dumps(printed)))


def reporting(facts: Facts, active: str, disarmed: str = "", **changed: Any) -> Facts:
    """The same machine, whose unit is in the state ``active`` and whose service reports one camera."""
    unit = f"LoadState=loaded\nActiveState={active}\nResult=success\nNRestarts=0\n"
    camera = {"camera": "", "state": "streaming", "reason": "", "slow": "", "blind": False, **changed}
    status = {"watching": not camera["blind"], "cameras": [camera], "disarmed": disarmed}
    return answering(answering(facts, "systemctl show", Ran(0, unit)), "probes status", Ran(0, json.dumps(status)))


def _networked(facts: Facts) -> Facts:
    """The same machine with two cameras on the network."""
    return with_settings(facts, cameras=[{"name": name, **NETWORK} for name in ("door", "hall")])


def with_python(facts: Facts, **changed: Any) -> Facts:
    return replace(facts, python=replace(facts.python, **changed))


def with_file(facts: Facts, path: str, text: str) -> Facts:
    write(facts.root, path, text)
    return facts


def without(facts: Facts, path: str) -> Facts:
    (facts.root / path).unlink()
    return facts


def test_a_machine_without_faults_is_ready(pi: Facts) -> None:
    findings = examined(pi)
    assert [f for f in findings if f.status is not Status.OK] == []
    assert doctor.summary(findings) == "ready: no errors, no warnings"
    assert {f.check for f in findings} == {
        *("system", "python", "environment", "libraries", "settings", "models", "camera", "pins"),
        *("messages", "groups", "power", "temperature", "memory", "disk", "clock", "service"),
    }


def with_sensor(facts: Facts, ran: Ran, driver: str = "amg8833") -> Facts:
    """The same machine with a presence sensor, whose probe ends so."""
    settings = {**LOADED["settings"], "sensor": {"driver": driver}}
    return answering(with_settings(facts, settings=settings), "probes sensor", ran)


def test_a_presence_sensor_is_read_and_described(pi: Facts) -> None:
    found = {"sensed": "warmth", "rows": 24, "columns": 32, "least": 20.9, "most": 33.44, "at": "upper left"}
    findings = examined(with_sensor(pi, Ran(0, json.dumps(found)), "mlx90640"))
    text = "mlx90640: 32 x 24 cells, 20.9 to 33.4 degrees, warmest at the upper left as the camera sees it"
    assert Finding("sensor", Status.OK, text) in findings
    running = answering(with_sensor(pi, Ran(1)), "is-active", Ran(0, "active\n"))
    assert [(f.status, "the service reads it" in f.text) for f in examined(running) if f.check == "sensor"] == [
        (Status.NOTE, True)
    ]


def test_the_library_of_the_sensor_is_not_needed_to_watch(pi: Facts) -> None:
    missing = answering(with_sensor(pi, Ran(1)), "import adafruit_amg88xx", Ran(1, "", "ModuleNotFoundError: no"))
    found = [f for f in examined(missing) if "adafruit-circuitpython-amg88xx" in f.text]
    assert [(f.check, f.status, "pip install" in f.fix) for f in found] == [("libraries", Status.NOTE, True)]


def test_the_probe_reads_the_sensor_as_it_hangs(tmp_path: Path) -> None:
    grid = tmp_path / "grid.txt"
    grid.write_text("warmth 60 60\n21 21 21\n21 21 21\n33 21 21\n")
    loaded = config.load(None, {"sensor.driver": f"file:{grid}"})
    assert probes.sensor(loaded) == {
        "sensed": "warmth",
        "rows": 3,
        "columns": 3,
        "least": 21.0,
        "most": 33.0,
        "at": "lower left",
    }
    assert (
        probes.sensor(config.load(None, {"sensor.driver": f"file:{grid}", "sensor.rotate": 90}))["at"] == "upper left"
    )
    grid.write_text("distance 60 60\n2 2 2\n2 0.7 2\n- 2 2\n")
    assert probes.sensor(loaded)["at"] == "middle middle"
    grid.write_text("distance 60 60\n- -\n")
    with pytest.raises(SensorError, match="measures nothing"):
        probes.sensor(loaded)


FAULTS: dict[str, tuple[Callable[[Facts], Facts], str, Status, str, str]] = {
    "a sensor that does not answer": (
        lambda m: with_sensor(m, Ran(1, "", "sensor.driver: no amg8833 at address 0x69")),
        *("sensor", Status.WARNING, "0x69", "watches the door without it"),
    ),
    "an old Python": (lambda m: with_python(m, version=(3, 9, 2)), "python", Status.ERROR, "too old", "newer"),
    "a Python of tomorrow": (lambda m: with_python(m, version=(3, 15, 0)), "python", Status.ERROR, "too new", "3.14"),
    "32 bits without a runtime": (
        lambda m: with_python(m, version=(3, 13, 5), machine="armv7l", bits=32),
        *("python", Status.ERROR, "no TFLite runtime", "64-bit"),
    ),
    "32-bit programs on a 64-bit kernel": (
        lambda m: with_python(m, bits=32),
        *("python", Status.WARNING, "tflite-runtime", "64-bit"),
    ),
    "musl": (lambda m: with_python(m, glibc=()), "python", Status.ERROR, "not glibc", "Debian"),
    "an old glibc": (lambda m: with_python(m, glibc=(2, 24)), "python", Status.ERROR, "2.24", "newer"),
    "a venv that hides apt": (
        lambda m: with_file(m, "opt/fmd/pyvenv.cfg", "include-system-site-packages = false\n"),
        *("environment", Status.ERROR, "does not see apt's", "--system-site-packages"),
    ),
    "a Python of pyenv": (
        lambda m: with_python(m, base_prefix="/home/pi/.pyenv/versions/3.11.2"),
        *("environment", Status.ERROR, "not the system's", "/usr/bin/python3"),
    ),
    "NumPy of another ABI": (
        lambda m: answering(m, "import numpy, picamera2", Ran(1, "", "ValueError: numpy.dtype size changed")),
        *("libraries", Status.ERROR, "dtype size changed", "pip uninstall numpy"),
    ),
    "an import that crashes": (
        lambda m: answering(m, "import numpy, cv2", Ran(-11)),
        *("libraries", Status.ERROR, "SIGSEGV", "headless"),
    ),
    "no lgpio": (
        lambda m: answering(m, "import gpiozero, lgpio", Ran(1, "", "ModuleNotFoundError: No module named 'lgpio'")),
        *("libraries", Status.ERROR, "lgpio", "apt install python3-lgpio"),
    ),
    "settings that do not hold": (
        lambda m: answering(m, "probes settings", Ran(1, "", "error: fmd.toml: alert.led_pin: expected ...\n")),
        *("settings", Status.ERROR, "fmd.toml: alert.led_pin", "message names"),
    ),
    "changed settings that are damaged": (
        lambda m: with_settings(m, changes={"keys": [], "problem": "overlay.toml: not valid TOML", "refused": ""}),
        *("settings", Status.WARNING, "overlay.toml: not valid TOML", "systemctl reload fmd"),
    ),
    "changed settings that could not be used": (
        lambda m: with_settings(
            m, changes={"keys": ["watch.gate"], "problem": "", "refused": "/x/overlay.toml.refused"}
        ),
        *("settings", Status.WARNING, "keeps them in /x/overlay", "delete /x/overlay"),
    ),
    "a model computed wrongly": (
        lambda m: answering(m, "probes models", Ran(1, "", "error: golden input 0 gives an answer 0.3 off")),
        *("models", Status.ERROR, "golden input 0", "ai-edge-litert"),
    ),
    "a slow board": (
        lambda m: answering(m, "probes models", Ran(0, json.dumps({"d": {**MODELS["detector"], "ms": 300.0}}))),
        *("models", Status.WARNING, "300 ms", "detect.every_s = 0.4"),
    ),
    "a board for fewer cameras": (
        lambda m: with_settings(m, cameras=[{"name": name, **NETWORK} for name in "abcd"]),
        *("models", Status.WARNING, "for each of 4 cameras takes 160 ms, the settings allow 67 ms", "1 of them here"),
    ),
    "no camera": (
        lambda m: answering(m, "probes camera", Ran(1, "", "error: no camera number 0")),
        *("camera", Status.ERROR, "no camera number 0", "rpicam-hello"),
    ),
    "no network camera": (
        lambda m: answering(_networked(m), "probes camera --camera hall", Ran(1, "", "error: no camera answers at x")),
        *("camera", Status.ERROR, "hall: no camera answers at x", "fmd-network.conf"),
    ),
    "no camera on a Jetson's ribbon": (
        lambda m: answering(
            with_settings(m, cameras=[{"name": "", "kind": "csi", "device": "", "source": "csi", "live": True}]),
            "probes camera",
            Ran(1, "", "error: csi: sensor 0 gives no picture"),
        ),
        *("camera", Status.ERROR, "sensor 0 gives no picture", "nvargus-daemon"),
    ),
    "a covered lens": (
        lambda m: answering(m, "probes camera", Ran(0, json.dumps({**PICTURE, "blank": True}))),
        *("camera", Status.WARNING, "dark", "uncover"),
    ),
    "a second stream that does not open": (
        lambda m: answering(
            m, "probes camera", Ran(0, json.dumps({**PICTURE, "second": "rtsp://x/2: the path is wrong"}))
        ),
        *("camera", Status.WARNING, "camera.detect_source: rtsp://x/2: the path is wrong; the detector", "correct the"),
    ),
    "a voice without a sound card": (
        lambda m: answering(m, "probes extras", Ran(1, "", "error: voice.device: no sound card")),
        *("messages", Status.ERROR, "no sound card", "turn it off"),
    ),
    "a port that is taken": (
        lambda m: answering(
            with_settings(m, settings={**LOADED["settings"], "metrics": {"port": 9817}}),
            "probes metrics",
            Ran(1, "", "error: metrics.port: 127.0.0.1:9817 cannot be served: Address already in use"),
        ),
        *("metrics", Status.WARNING, "Address already in use", "another metrics.port"),
    ),
    "no GPIO": (lambda m: without(m, "dev/gpiochip0"), "pins", Status.ERROR, "no /dev/gpiochip", "board's maker"),
    "a pin held by another program": (
        lambda m: with_settings(m, wired=[["led", 22, "gpiozero"]]),
        *("pins", Status.ERROR, "held by heater relay", "dtoverlay"),
    ),
    "a missing line": (
        lambda m: with_settings(m, wired=[["led", "PQ.05", "gpiod"]]),
        *("pins", Status.ERROR, "no line PQ.05", "gpioinfo"),
    ),
    "nothing wired": (lambda m: with_settings(m, wired=[]), "pins", Status.ERROR, "no output", "led_pin"),
    "a user outside the group": (
        lambda m: with_file(m, "etc/group", "video:x:44:fmd\ngpio:x:997:pi\n"),
        *("groups", Status.ERROR, "fmd is not in the group gpio", "adduser fmd gpio"),
    ),
    "no such group": (
        lambda m: with_file(m, "etc/group", "video:x:44:fmd\n"),
        *("groups", Status.WARNING, "no group gpio", "sysusers"),
    ),
    "a weak power supply": (
        lambda m: with_file(m, board.FIRMWARE, "50005\n"),
        *("power", Status.WARNING, "under voltage now", "power supply"),
    ),
    "a weak power supply earlier": (
        lambda m: with_file(m, board.FIRMWARE, "10000\n"),
        *("power", Status.WARNING, "under voltage since", "power supply"),
    ),
    "heat": (
        lambda m: with_file(m, "sys/class/thermal/thermal_zone0/temp", "81000"),
        *("temperature", Status.WARNING, "81 degrees", "air"),
    ),
    "little memory": (
        lambda m: with_file(m, "proc/meminfo", "MemAvailable: 90000 kB\n"),
        *("memory", Status.WARNING, "88 MB", "stop"),
    ),
    "a clock without a battery": (
        lambda m: replace(m, now_s=lambda: 5.0),
        *("clock", Status.WARNING, "years behind", "RTC"),
    ),
    "a clock that is never set": (
        lambda m: answering(without(m, "run/systemd/timesync/synchronized"), "timedatectl", Ran(0, "no\n")),
        *("clock", Status.WARNING, "not set from the network", "set-ntp"),
    ),
    "a schedule without a clock": (
        lambda m: with_settings(
            answering(without(m, "run/systemd/timesync/synchronized"), "timedatectl", Ran(0, "no\n")),
            settings={**LOADED["settings"], "arm": {"schedule": ["daily 07:00-18:00"], "trust_clock": False}},
        ),
        *("arming", Status.WARNING, "ignores arm.schedule", "arm.trust_clock = true"),
    ),
    "a button on a pin that another program holds": (
        lambda m: with_settings(m, contact=[22, "gpiozero"]),
        *("pins", Status.ERROR, "arm.pin: GPIO22 is held by heater relay", "dtoverlay"),
    ),
    "a contact in a file that is missing": (
        lambda m: with_settings(m, contact=["/nowhere/contact", "file"]),
        *("pins", Status.WARNING, "arm.pin: /nowhere/contact cannot be read", "the user fmd"),
    ),
    "a service that failed": (
        lambda m: answering(m, "systemctl show", Ran(0, "LoadState=loaded\nActiveState=failed\nResult=watchdog\n")),
        *("service", Status.ERROR, "failed, watchdog", "journalctl"),
    ),
    "a service on too slow a board": (
        lambda m: reporting(m, "active", slow="too slow: 12 of 20 detections are late"),
        *("service", Status.WARNING, "active: watching, but too slow", "fewer cameras"),
    ),
    "a service whose camera is too far away": (
        lambda m: reporting(m, "active", hint="faces too small: all are narrower"),
        *("service", Status.WARNING, "active: watching, but faces too small", "docs/mounting.md"),
    ),
    "a service whose camera is blind": (
        lambda m: reporting(m, "active", camera="out", state="dark", reason="covered", blind=True),
        *("service", Status.ERROR, "active: out: blind, camera dark: covered", "lens"),
    ),
    "a service that waits for its camera": (
        lambda m: reporting(m, "activating", state="lost", reason="no device", blind=True),
        *("service", Status.ERROR, "activating: blind, camera lost: no device", "cable"),
    ),
    "a service that keeps failing": (
        lambda m: answering(m, "systemctl show", Ran(0, "LoadState=loaded\nActiveState=active\nNRestarts=7\n")),
        *("service", Status.WARNING, "7 times", "journalctl"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_reported_with_its_fix(pi: Facts, fault: str) -> None:
    make, check, status, said, fix = FAULTS[fault]
    found = [f for f in examined(make(pi)) if f.status in (Status.WARNING, Status.ERROR)]
    assert any((f.check, f.status) == (check, status) and said in f.text and fix in f.fix for f in found), found
    assert all(f.fix for f in found)


def test_a_disarmed_service_is_noted(pi: Facts) -> None:
    found = examined(reporting(pi, "active", disarmed="disarmed by pi until 2026-11-30 18:00"))
    fix = "to arm it: sudo fmd arm; to end a mute: sudo fmd mute off"
    assert note("service", "disarmed by pi until 2026-11-30 18:00", fix) in found


def pc_of(pi: Facts, **changed: Any) -> Facts:
    """A PC without pins, webcam and group gpio, on which nothing was set up."""
    for path in ("proc/device-tree/model", "dev/gpiochip0"):
        (pi.root / path).unlink()
    (pi.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/bash\n")
    (pi.root / "etc/group").write_text("root:x:0:\nvideo:x:44:\n")
    auto = {"name": "", "kind": "auto", "device": "", "source": "auto", "live": True}
    machine = with_settings(pi, cameras=[auto], **changed)
    machine = answering(machine, "probes camera", Ran(1, "", "error: camera.source: auto found no camera"))
    return answering(machine, "import gpiozero, lgpio", Ran(1, "", "ModuleNotFoundError: No module named 'lgpio'"))


def test_a_pc_is_named_instead_of_its_missing_pins(pi: Facts) -> None:
    findings = examined(pc_of(pi))
    assert [f for f in findings if f.status in (Status.ERROR, Status.WARNING)] == []
    assert any(f.check == "system" and "this machine is a PC" in f.text for f in findings)
    assert any(f.check == "camera" and "no camera found on this PC" in f.text for f in findings)
    assert any(f.check == "pins" and "refuses a live camera" in f.text and "console" in f.fix for f in findings)
    assert doctor.summary(findings, is_pc=True) == "ready to try fmd on a PC: no errors, no warnings"


def test_a_board_is_not_taken_for_a_pc(pi: Facts) -> None:
    assert not pi.is_pc
    assert not without(pi, "dev/gpiochip0").is_pc


def test_a_laptop_with_the_gpio_chip_of_its_touchpad_is_a_pc_as_it_is_for_the_run(pi: Facts) -> None:
    laptop = with_file(pc_of(pi), "dev/gpiochip0", "")
    findings = examined(laptop)
    assert [f for f in findings if f.status in (Status.ERROR, Status.WARNING)] == []
    assert any(f.check == "pins" and "a PC cannot drive led (17), buzzer (27)" in f.text for f in findings)
    # Its lines have names; who wires one of them has an output that can fail.
    wired = with_settings(laptop, wired=[["led", "PQ.05", "gpiod"], ["buzzer", 27, "gpiozero"]])
    found = [f for f in examined(wired) if f.check == "pins"]
    assert any(f.status is Status.ERROR and "no line PQ.05" in f.text for f in found)
    assert any(f.status is Status.NOTE and "a PC cannot drive buzzer (27)" in f.text for f in found)


def test_programs_read_that_a_machine_is_a_pc(pi: Facts) -> None:
    assert json.loads(doctor.as_json(examined(pi), pi.is_pc))["pc"] is False
    pc = pc_of(pi)
    printed = json.loads(doctor.as_json(examined(pc), pc.is_pc))
    assert (printed["fit"], printed["pc"]) == (True, True)


def test_every_camera_has_a_finding_of_its_own(pi: Facts) -> None:
    door_answers = answering(_networked(pi), "probes camera --camera door", Ran(0, json.dumps(PICTURE)))
    found = examined(answering(door_answers, "probes camera --camera hall", Ran(1, "", "error: no camera answers")))
    printed = [(f.status, f.text.partition(":")[0]) for f in found if f.check == "camera"]
    assert printed == [(Status.OK, "door"), (Status.ERROR, "hall")]


def test_a_running_service_keeps_its_camera_and_its_pins(pi: Facts) -> None:
    pins_held = with_settings(pi, wired=[["led", 22, "gpiozero"]])
    found = examined(answering(answering(pins_held, "is-active", Ran(0)), "probes camera", Ran(1, "", "busy")))
    assert [f.status for f in found if f.check in ("camera", "pins")] == [Status.OK, Status.OK]


def test_a_service_that_waits_for_its_camera_keeps_its_pins_and_its_port(pi: Facts) -> None:
    held = with_settings(
        pi, wired=[["led", 22, "gpiozero"]], settings={**LOADED["settings"], "metrics": {"port": 9817}}
    )
    waiting = answering(held, "is-active", Ran(3, "activating\n"))
    found = examined(answering(waiting, "probes camera", Ran(1, "", "error: no camera number 0")))
    assert [f.status for f in found if f.check in ("camera", "pins", "metrics")] == [Status.ERROR, Status.OK]


def test_the_metrics_port_is_opened(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OutputError, match="in use"):
            probes.metrics(config.load(None, {"metrics.port": port}))
    assert probes.metrics(config.load(None, {"metrics.port": port})) == {"servers": ["metrics"]}


def test_the_status_of_the_running_service_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    broken_settings = ["--set", "camera.fps=0"]
    assert probes.main(["status", *broken_settings]) == 0
    assert json.loads(capsys.readouterr().out) == {"watching": False, "cameras": [], "disarmed": ""}
    live = LiveState(lambda: 0.0)
    file = Listeners([live, StatusFile(tmp_path, live)])
    file.on_settings(config.load(None, {"camera.sources": {"in": "picamera2", "out": "picamera2:1"}}))
    file.on_health(Health("in", CameraState.STREAMING, 1.0, slow="too slow: late"))
    file.on_health(Health("out", CameraState.DARK, 2.0, reason="covered"))
    assert probes.main(["status"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert [(one["camera"], one["state"], one["blind"]) for one in status["cameras"]] == [
        ("in", "streaming", False),
        ("out", "dark", True),
    ]
    assert (status["watching"], status["cameras"][0]["slow"]) == (False, "too slow: late")


def test_the_holder_of_a_device_is_named(pi: Facts) -> None:
    process = pi.root / "proc" / "4711"
    write(pi.root, "proc/4711/comm", "motion\n")
    (process / "fd").mkdir()
    (process / "fd" / "3").symlink_to("/dev/video0")
    write(pi.root, "dev/video0", "")
    named = {"name": "", "kind": "v4l2", "device": "/dev/video0", "source": "/dev/video0", "live": True}
    facts = with_settings(pi, cameras=[named])
    assert any("held by motion (4711)" in f.text and f.status is Status.ERROR for f in examined(facts))


@pytest.mark.parametrize("listing", [GPIOINFO_1, GPIOINFO_2])
def test_holders_are_read_from_both_versions_of_gpioinfo(listing: str) -> None:
    assert holder_of("GPIO17", listing) == ""
    assert holder_of("GPIO22", listing) == "heater relay"
    assert holder_of("GPIO10", listing) == "spi0_mosi"
    assert holder_of("GPIO40", listing) is None


def test_outputs_are_switched_only_when_asked(pi: Facts) -> None:
    assert not [f for f in examined(pi) if f.check == "outputs"]
    shown = [f.text for f in doctor.examined(pi, [], try_outputs=True) if f.check == "outputs"]
    assert ["led (17), buzzer (27)" in said for said in shown] == [True]


def test_a_check_that_fails_itself_does_not_stop_the_others(pi: Facts) -> None:
    broken = answering(pi, "probes models", Ran(0, "not JSON"))
    found = examined(broken)
    assert any(f.check == "doctor" and "could not be checked" in f.text for f in found)
    assert found[-1].check == "service"


def test_the_installed_settings_are_checked_unless_others_are_named(pi: Facts) -> None:
    asked: list[str] = []
    facts = replace(with_file(pi, "etc/fmd/fmd.toml", ""), run=lambda words: asked.append(" ".join(words)) or Ran(1))
    doctor.run(argparse.Namespace(config=None, set=["a.b=1"], json=True, try_outputs=False), facts)
    (settings,) = [words for words in asked if "probes settings" in words]
    assert settings.endswith(f"--config {pi.root / 'etc/fmd/fmd.toml'} --set a.b=1")


def test_this_machine_can_be_checked_and_printed_as_json() -> None:
    found = fmd("doctor", "--json", "--set", "alert.driver=console", "--set", "camera.source=doorway")
    printed = json.loads(found.stdout)
    well = {row["check"] for row in printed["findings"] if row["status"] == "ok"}
    assert {"system", "libraries", "settings", "models", "camera"} <= well
    assert found.returncode == (0 if printed["fit"] else 1)


def test_changed_settings_are_named_with_why_they_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    base = tmp_path / "fmd.toml"
    base.write_text("")
    none = {"keys": [], "problem": "", "refused": ""}
    assert probes.changes(config.read(base)) == none
    file = overlay.write(base, {"watch": {"gate": False}})
    assert probes.changes(config.read(base)) == {**none, "keys": ["watch.gate"]}
    file.write_text("[")
    assert "not valid TOML" in probes.changes(config.read(base))["problem"]
    overlay.revert(file)
    assert probes.changes(config.read(base)) == {**none, "refused": str(tmp_path / overlay.REFUSED)}
    assert next(checks.changes({**none, "keys": ["watch.gate"]})).status is Status.OK


@pytest.mark.parametrize(("level", "blank"), [(16, True), (90, True), (0, False)])
def test_a_blank_picture_is_recognised_by_the_monitor_of_the_service(tmp_path: Path, level: int, blank: bool) -> None:
    noise = np.random.default_rng(1).normal(0, 10, (480, 640, 3))
    picture = np.clip((level or draw_doorway()) + noise, 0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "1.png"), picture)
    its = config.load(None, {"camera.sources": {"door": "doorway", "hall": str(tmp_path)}})
    assert [row["name"] for row in probes.settings(its)["cameras"]] == ["door", "hall"]
    assert probes.camera(its, "hall")["blank"] == blank
    assert not probes.camera(its, "door")["blank"]


def test_wrong_settings_are_one_finding_and_exit_code_one() -> None:
    found = fmd("doctor", "--set", "camera.fps=0")
    assert found.returncode == 1
    assert "camera.fps" in next(line for line in found.stdout.splitlines() if line.startswith("error    settings"))
    assert "Traceback" not in found.stdout + found.stderr


def test_the_doctor_reports_a_broken_numpy_and_a_crashing_msgspec(tmp_path: Path) -> None:
    write(tmp_path, "numpy.py", "raise ImportError('numpy.dtype size changed')\n")
    write(tmp_path, "msgspec.py", "import os; os.kill(os.getpid(), 11)\n")
    found = subprocess.run(
        [sys.executable, "-m", "edge.commands.main", "doctor"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)])),
    )
    assert found.returncode == 1
    assert "dtype size changed" in found.stdout
    assert "msgspec: ended by SIGSEGV" in found.stdout
    assert "Traceback" not in found.stdout + found.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to become")
def test_root_opens_no_model_in_its_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object) -> None:
        raise AssertionError("a model was opened in this process, which is root's")

    monkeypatch.setattr("edge.drivers.tflite.TFLiteInterpreter", refuse)
    found = probes.models(config.load(None))
    assert found["classifier"]["ms"] > 0
    assert found["detector"]["ms"] > 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_which_check_runs_and_another_stream_gets_nothing() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file, None):
        progress = doctor.Progress(stream)
        progress.begin("as_set_up")
        progress.clear()
        progress.clear()
    text = "checking as set up ..."
    assert (terminal.getvalue(), file.getvalue()) == (f"{text}\r{' ' * len(text)}\r", "")


def test_each_check_and_each_probe_is_named_before_it_runs(pi: Facts) -> None:
    begun: list[str] = []
    list(checks.examined(pi, [], begin=begun.append))
    assert begun.index("system") < begun.index("libraries") < begun.index("disk") < begun.index("service")
    assert begun.count("settings") == 2  # the check, and its probe

"""The messages to systemd, over a real socket."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from edge.contracts import CameraState, Health, Step
from edge.errors import FmdError
from edge.reporting.listener import Callbacks
from edge.service import run as service
from edge.service.systemd import HANG_S, SystemdNotifier, notify
from tests.edge.parts import Systemd, pipeline_of, settings_for


def test_ready_comes_with_the_first_frame_and_the_watchdog_is_fed_by_each_after(
    systemd: Systemd, clip: Path, mock_pins: Any
) -> None:
    heard: list[list[str]] = []
    service.run(settings_for(clip), [Callbacks(lambda step: heard.append(systemd.received()))], build=pipeline_of)
    heard.append(systemd.received())
    assert heard == [[], ["READY=1\nSTATUS=watching"], *([["WATCHDOG=1"]] * 6), ["WATCHDOG=1", "STOPPING=1"]]


def test_a_frame_that_does_not_pass_all_stages_does_not_feed_the_watchdog(
    systemd: Systemd, clip: Path, mock_pins: Any
) -> None:
    def breaking(step: Step) -> None:
        if step.frame.index == 2:
            raise RuntimeError("stuck")

    with pytest.raises(RuntimeError, match="stuck"):
        service.run(settings_for(clip), [Callbacks(breaking)], build=pipeline_of)
    assert systemd.received() == ["READY=1\nSTATUS=watching", "WATCHDOG=1", "STOPPING=1"]


def test_an_abstract_socket_is_notified(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"fmd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("READY=1")
        assert listening.recv(100) == b"READY=1"


def test_a_busy_systemd_does_not_stop_the_alarm(systemd: Systemd) -> None:
    for _ in range(12):  # its queue is full after about ten
        notify("WATCHDOG=1")
    assert 0 < len(systemd.received()) < 12


def test_a_missing_socket_is_no_error_but_the_message_counts_as_not_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "missing"))
    assert not notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert notify("READY=1"), "outside of systemd there is no one to wait for"


def test_a_camera_watched_too_rarely_is_reported(systemd: Systemd) -> None:
    notifier = SystemdNotifier()
    notifier.alive()
    notifier.update(
        [
            Health("in", CameraState.STREAMING, 1.0, slow="too slow: 2 detections a second"),
            Health("out", CameraState.STREAMING, 1.0),
        ]
    )
    assert systemd.received()[-1] == "STATUS=in: watching, but too slow: 2 detections a second; out: watching"


def test_a_systemd_that_does_not_read_does_not_block(systemd: Systemd) -> None:
    sent = [notify("WATCHDOG=1") for _ in range(2000)]  # the kernel keeps about ten of them
    assert sent[0]
    assert not sent[-1]


def test_ready_is_sent_again_if_systemd_did_not_take_it(systemd: Systemd) -> None:
    while notify("WATCHDOG=1"):
        pass
    notifier = SystemdNotifier()
    notifier.alive()
    systemd.received()
    notifier.alive()
    assert systemd.received() == ["READY=1\nSTATUS=watching"]


def test_the_first_frame_is_ready_and_every_later_one_feeds_the_watchdog(systemd: Systemd) -> None:
    firsts: list[None] = []
    notifier = SystemdNotifier(lambda: firsts.append(None))
    assert (notifier.began, notifier.ready) == (False, False)
    notifier.alive()
    assert (notifier.began, notifier.ready) == (True, True)
    notifier.alive()
    notifier.alive()
    assert systemd.received() == ["READY=1\nSTATUS=watching", "WATCHDOG=1", "WATCHDOG=1"]
    assert len(firsts) == 1


def test_the_first_frame_is_reported_once_even_if_systemd_does_not_take_ready(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "missing"))
    firsts: list[None] = []
    notifier = SystemdNotifier(lambda: firsts.append(None))
    for _ in range(3):
        notifier.alive()
    assert (len(firsts), notifier.ready) == (1, False)


def test_a_changed_status_is_sent_once_and_only_after_ready(systemd: Systemd) -> None:
    notifier = SystemdNotifier()
    lost = Health("", CameraState.LOST, 1.0, reason="no device\n at /dev/video0")
    notifier.update([lost])
    assert systemd.received() == []
    notifier.alive()
    assert systemd.received() == ["READY=1\nSTATUS=blind, camera lost: no device at /dev/video0"]
    notifier.update([lost])
    assert systemd.received() == []
    notifier.update([Health("", CameraState.STREAMING, 2.0)])
    assert systemd.received() == ["STATUS=watching"]


def test_a_status_that_systemd_did_not_take_is_sent_again(systemd: Systemd) -> None:
    notifier = SystemdNotifier()
    notifier.alive()
    dark = Health("", CameraState.DARK, 1.0, reason="the lens is covered")
    while notify("WATCHDOG=1"):
        pass
    notifier.update([dark])
    systemd.received()
    notifier.update([dark])
    assert systemd.received() == ["STATUS=blind, camera dark: the lens is covered"]


@pytest.mark.parametrize("state", [state for state in CameraState if state is not CameraState.STREAMING])
def test_the_status_never_says_watching_about_a_blind_camera(systemd: Systemd, state: CameraState) -> None:
    notifier = SystemdNotifier()
    notifier.alive()
    notifier.update([Health("in", CameraState.STREAMING, 1.0), Health("out", state, 1.0, reason="why")])
    (status,) = [message for message in systemd.received() if message.startswith("STATUS=")]
    words = "starting" if state is CameraState.STARTING else f"blind, camera {state.value}: why"
    assert status == f"STATUS=in: watching; out: {words}"


def test_a_ready_notifier_that_waits_for_a_camera_feeds_the_watchdog_once_a_second(systemd: Systemd) -> None:
    notifier = SystemdNotifier()
    notifier.alive()
    systemd.received()
    for tenth in range(31):
        notifier.waiting(tenth / 10)
    assert systemd.received() == ["WATCHDOG=1"] * 4


def test_before_the_first_frame_only_a_patient_notifier_asks_for_more_time(systemd: Systemd) -> None:
    SystemdNotifier().waiting(100.0)
    assert systemd.received() == []
    patient = SystemdNotifier(patient=True)
    patient.update([Health("", CameraState.LOST, 1.0, reason="unplugged")])
    patient.waiting(100.0)
    patient.waiting(100.5)
    extension = f"EXTEND_TIMEOUT_USEC={HANG_S * 1e6:.0f}\nSTATUS=blind, camera lost: unplugged"
    assert systemd.received() == [extension]


def test_a_reload_is_announced_with_its_time_and_only_after_ready(systemd: Systemd) -> None:
    notifier = SystemdNotifier()
    notifier.reloading(12.5)
    assert systemd.received() == []
    notifier.alive()
    notifier.reloading(12.5)
    assert systemd.received()[1:] == ["RELOADING=1\nMONOTONIC_USEC=12500000"]


def test_a_refused_reload_is_ready_again_and_says_why_in_one_line(systemd: Systemd) -> None:
    notifier = SystemdNotifier()
    error = FmdError("camera.fps: got -1,\n  expected more than 0")
    notifier.refused(error)
    assert systemd.received() == []
    notifier.alive()
    notifier.refused(error)
    assert systemd.received()[1:] == [
        "READY=1\nSTATUS=watching; reload refused: camera.fps: got -1, expected more than 0"
    ]

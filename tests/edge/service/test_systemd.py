"""What systemd hears, over a real socket."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from edge.contracts import CameraState, Health, Step
from edge.reporting.listener import Callbacks
from edge.service import run as service
from edge.service.systemd import SystemdNotifier, notify
from tests.edge.parts import Systemd, pipeline_of, settings_for


def test_ready_comes_with_the_first_frame_and_the_watchdog_is_fed_by_each_after(
    systemd: Systemd, clip: Path, mock_pins: Any
) -> None:
    heard: list[list[str]] = []
    service.run(settings_for(clip), [Callbacks(lambda step: heard.append(systemd.heard()))], build=pipeline_of)
    heard.append(systemd.heard())
    assert heard == [[], ["READY=1\nSTATUS=watching"], *([["WATCHDOG=1"]] * 6), ["WATCHDOG=1", "STOPPING=1"]]


def test_a_frame_that_did_not_go_all_the_way_through_feeds_nothing(
    systemd: Systemd, clip: Path, mock_pins: Any
) -> None:
    def breaking(step: Step) -> None:
        if step.frame.index == 2:
            raise RuntimeError("stuck")

    with pytest.raises(RuntimeError, match="stuck"):
        service.run(settings_for(clip), [Callbacks(breaking)], build=pipeline_of)
    assert systemd.heard() == ["READY=1\nSTATUS=watching", "WATCHDOG=1", "STOPPING=1"]


def test_an_abstract_socket_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"fmd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("READY=1")
        assert listening.recv(100) == b"READY=1"


def test_a_systemd_that_is_too_busy_to_listen_does_not_stop_the_alarm(systemd: Systemd) -> None:
    for _ in range(12):  # its queue is full after some ten
        notify("WATCHDOG=1")
    assert 0 < len(systemd.heard()) < 12


def test_nobody_listening_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")


def test_a_camera_watched_too_rarely_is_said_to_be(systemd: Systemd) -> None:
    pulse = SystemdNotifier()
    pulse.alive()
    pulse.update(
        [
            Health("in", CameraState.STREAMING, 1.0, slow="too slow: 2 looks a second"),
            Health("out", CameraState.STREAMING, 1.0),
        ]
    )
    assert systemd.heard()[-1] == "STATUS=in: watching, but too slow: 2 looks a second; out: watching"


def test_a_system_manager_that_does_not_read_holds_nothing_up(systemd: Systemd) -> None:
    told = [notify("WATCHDOG=1") for _ in range(2000)]  # the kernel keeps some ten of them
    assert told[0]
    assert not told[-1]


def test_ready_is_said_again_where_it_was_not_heard(systemd: Systemd) -> None:
    while notify("WATCHDOG=1"):
        pass
    pulse = SystemdNotifier()
    pulse.alive()
    systemd.heard()
    pulse.alive()
    assert systemd.heard() == ["READY=1\nSTATUS=watching"]

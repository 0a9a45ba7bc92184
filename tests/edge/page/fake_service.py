"""A stand-in of the running fmd for the page: a real socket that answers each request with typed example data.

``python -m tests.edge.page.fake_service FOLDER`` serves FOLDER/page.sock until Ctrl-C; then, in another terminal,
``fmd page --runtime FOLDER --passwords FILE``.
"""

from __future__ import annotations

import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from edge import control, page_messages
from edge.control import DoneReply, Message, RefusedReply, ReloadRequest, StateReply, encoded
from edge.messages import ArmingMessage, HealthMessage
from edge.page_messages import (
    ArmRequest,
    BackupRequest,
    CameraView,
    ChangeReply,
    ChangeRequest,
    DecisionView,
    DisarmRequest,
    DoctorReply,
    DoctorRequest,
    ExportRequest,
    FileReply,
    FindingView,
    ImportRequest,
    LiveReply,
    LiveRequest,
    LogReply,
    LogRequest,
    MuteRequest,
    PassagesReply,
    PassagesRequest,
    PassageView,
    PersonView,
    PictureReply,
    PictureRequest,
    ReportReply,
    ReportRequest,
    SettingsReply,
    SettingsRequest,
    SettingView,
    ShadowStateReply,
    ShadowStateRequest,
    TuneReply,
    TuneRequest,
)
from edge.record.tune import Effect

decode = msgspec.msgpack.Decoder(page_messages.Request).decode
BEGAN = datetime(2026, 11, 30, 8, 0, tzinfo=timezone.utc)
NAME = "<b>hall & door</b>"
"""Of the second camera: a name that harms a page which does not escape it."""


def jpeg_of(seed: int, width: int = 640) -> bytes:
    """Return a picture of smooth colours as JPEG."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    good, data = cv2.imencode(".jpg", cv2.resize(small, (width, width * 3 // 4), interpolation=cv2.INTER_CUBIC))
    assert good
    return data.tobytes()


def person(number: int, outcome: str, words: str, evidence: float, x: float) -> PersonView:
    """Return a person whose face begins at ``x``."""
    return PersonView(
        id=number,
        box=(x, 0.3, x + 0.12, 0.5),
        outcome=outcome,
        label="without_mask" if evidence > 0 else "with_mask",
        words=words,
        evidence=evidence,
        observations=7 * number,
        seconds=1.5 * number,
        violated=evidence >= 1,
        face_px=77.0,
        score=0.9,
    )


def camera(name: str, people: tuple[PersonView, ...], **more: Any) -> CameraView:
    """Return a camera that streams."""
    fields: dict[str, Any] = {
        "name": name,
        "state": "no_mask" if people else "running",
        "health": HealthMessage("streaming", "", "", ""),
        "hints": (),
        "picture": 7,
        "age_s": 0.08,
        "per_s": 14.9,
        "width": 640,
        "height": 480,
        "people": people,
        "ignore": (((0.0, 0.0), (0.2, 0.0), (0.2, 0.3)),) if not name else (),
        "only": (),
        "rotate": 0,
        "heat": not name,
        **more,
    }
    # The struct may know more by the time: those have defaults.
    return CameraView(**{key: value for key, value in fields.items() if key in CameraView.__struct_fields__})


SETTINGS = (
    SettingView(
        key="decide.on_unsure",
        section="decide",
        comment="Reaction to a person who cannot be judged.",
        value='"signal"',
        default='"signal"',
        origin="default",
        kind="text",
        access="edit",
        choices=("alarm", "signal", "admit"),
    ),
    SettingView(
        key="decide.error_rate",
        section="decide",
        comment="Target share of wrong decisions.",
        value="0.004",
        default="0.002",
        origin="page",
        kind="number",
        access="edit",
    ),
    SettingView(
        key="alert.led_pin",
        section="alert",
        comment="GPIO numbers.",
        value="17",
        default="17",
        origin="default",
        kind="number",
        access="confirm",
    ),
    SettingView(
        key="camera.source",
        section="camera",
        comment="Where pictures come from.",
        value='"auto"',
        default='"auto"',
        origin="file",
        kind="text",
        access="read",
    ),
    SettingView(
        key="notify.urls",
        section="notify",
        comment="They contain passwords.",
        value="not set",
        default="not set",
        origin="default",
        kind="list",
        access="secret",
    ),
)


class FakeService:
    """The state of the stand-in. ``asked`` holds every request; ``armed`` and ``cameras`` alter replies."""

    def __init__(self) -> None:
        self.reset()
        self._began_s = time.monotonic()
        self.answers: dict[type[Message], Callable[[Any], Message]] = {
            ArmRequest: lambda request: self._armed(True),
            DisarmRequest: lambda request: self._armed(False),
            MuteRequest: lambda request: self._muted(request.for_s),
            ReloadRequest: lambda request: DoneReply(),
            LiveRequest: lambda request: self.live(),
            PictureRequest: self._picture,
            ReportRequest: lambda request: ReportReply(report=b"{}", html=f"<p>Report of a {request.period}.</p>"),
            PassagesRequest: lambda request: self._passages(),
            TuneRequest: lambda request: self._tuned(),
            SettingsRequest: lambda request: SettingsReply(settings=SETTINGS),
            ChangeRequest: self._changed,
            ExportRequest: lambda request: FileReply(name="fmd-page.toml", content=b"[decide]\n", size=9),
            ImportRequest: lambda request: ChangeReply(applied=True, words="The settings are in use.", errors={}),
            DoctorRequest: lambda request: self._doctor(),
            LogRequest: lambda request: LogReply(lines=("watching <door>",), events=("10:12 violation",)),
            BackupRequest: lambda request: self._backup(request.offset),
            ShadowStateRequest: lambda request: self.shadow,
        }

    def reset(self) -> None:
        """Return to the state of the beginning."""
        self.asked: list[Message] = []
        self.shadow = ShadowStateReply(phase="none", words="No model is being installed.")
        self.arming = ArmingMessage(armed=True, source="default")
        self.cameras = (
            camera("", (person(1, "violation", "no mask", 1.0, 0.2), person(2, "unsure", "unsure", -0.4, 0.6))),
            camera(NAME, (), hints=("The picture is too dark.",), state="blind"),
        )
        self.refusal = ""
        self.board = "Raspberry Pi 4 Model B"

    def answer(self, request: Message) -> Message:
        """Return the reply to a request; requests without data of their own are done."""
        self.asked.append(request)
        if self.refusal:
            return RefusedReply(reason=self.refusal)
        return self.answers.get(type(request), lambda request: DoneReply())(request)

    def live(self) -> LiveReply:
        """Return the state of a door with two cameras and an alarm."""
        return LiveReply(
            now=(BEGAN + timedelta(hours=2)).isoformat(),
            state="no_mask",
            arming=self.arming,
            cameras=self.cameras,
            decisions=(
                DecisionView(
                    at=(BEGAN + timedelta(hours=1)).isoformat(),
                    camera="",
                    words="no mask, alarm",
                    change="decided",
                    outcome="violation",
                    alarm=True,
                ),
            ),
            faces_until="",
            faces_allowed=True,
            version="0.1.0",
            board=self.board,
            models=("face_detector", "mask_classifier"),
            uptime_s=time.monotonic() - self._began_s,
        )

    def _picture(self, request: PictureRequest) -> PictureReply:
        """A new picture fifteen times a second."""
        number = int((time.monotonic() - self._began_s) * 15) + 1
        if number == request.after:
            return PictureReply(number=number, age_s=0.0, jpeg=b"")
        people = next(camera.people for camera in self.cameras if camera.name == request.camera)
        return PictureReply(number=number, age_s=0.02, jpeg=jpeg_of(number, request.width), people=people)

    def _state(self) -> StateReply:
        return StateReply(pid=1, arming=self.arming, clock_known=True)

    def _armed(self, armed: bool) -> StateReply:
        self.arming = ArmingMessage(armed=armed, source="command", by="fmd-page (uid 990)")
        return self._state()

    def _muted(self, for_s: float) -> StateReply:
        until = (BEGAN + timedelta(seconds=for_s)).isoformat() if for_s else ""
        self.arming = msgspec.structs.replace(self.arming, muted_until=until)
        return self._state()

    def _changed(self, request: ChangeRequest) -> ChangeReply:
        unknown = {key: "no such setting" for key in request.changes if key not in {s.key for s in SETTINGS}}
        words = "Nothing was changed." if unknown else "The settings are in use."
        return ChangeReply(applied=not unknown, words=words, errors=unknown)

    def _passages(self) -> PassagesReply:
        passage = PassageView(
            at=BEGAN.isoformat(),
            camera="",
            outcome="unsure",
            words="unsure",
            violated=False,
            observations=9,
            seconds=4.0,
            face_px=31.0,
        )
        return PassagesReply(passages=(passage,), drift=("Faces are smaller than last week.",))

    def _tuned(self) -> TuneReply:
        before = Effect(90, alarms=8, signals=3, compliant=79, unsure=3, undecided=0, alarm_s=0.42, slow_alarm_s=1.9)
        after = msgspec.structs.replace(before, unsure=2, compliant=80, alarm_s=None)
        return TuneReply(before=msgspec.json.encode(before), after=msgspec.json.encode(after), differing=1)

    def _doctor(self) -> DoctorReply:
        return DoctorReply(
            findings=(
                FindingView(status="ok", title="camera", words="picamera2 streams", fix=""),
                FindingView(status="warning", title="clock", words="not synchronised", fix="timedatectl set-ntp true"),
            )
        )

    def _backup(self, offset: int) -> FileReply:
        content = b"backup " * 20_000
        return FileReply(name="fmd-backup.tar.gz", content=content[offset : offset + 60_000], size=len(content))


@contextmanager
def serving(folder: Path, service: FakeService | None = None) -> Iterator[FakeService]:
    """Serve the page's socket in ``folder``."""
    service = service or FakeService()
    path = folder / page_messages.SOCKET
    clients = set()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            clients.add(self.connection)
            with suppress(OSError):
                while head := self.rfile.read(control.HEADER.size):
                    request = decode(self.rfile.read(control.HEADER.unpack(head)[0]))
                    self.wfile.write(encoded(service.answer(request)))
            clients.discard(self.connection)

    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield service
        finally:
            server.shutdown()
            path.unlink()
            for each in list(clients):
                with suppress(OSError):
                    each.shutdown(2)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt), serving(Path(sys.argv[1])):
        threading.Event().wait()

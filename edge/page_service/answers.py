"""The page's table: which function answers each request, and who may send it.

Root and the service's own user may, and the group fmd-page. Members of the group fmd may not: they have the control
socket. What changes something is recorded with the role and address that the page names.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import msgspec

from edge.control import DoneReply, Message, ReloadRequest, StateReply
from edge.errors import ControlError
from edge.page_messages import (
    GROUP,
    MAX_REQUEST,
    PIECE,
    SOCKET,
    ArmRequest,
    BackupRequest,
    ChangeRequest,
    DisarmRequest,
    DoctorRequest,
    ExportRequest,
    FileReply,
    ImportRequest,
    InstallRequest,
    LiveRequest,
    LogReply,
    LogRequest,
    MuteRequest,
    PassagesRequest,
    PictureRequest,
    ReportRequest,
    SettingsRequest,
    ShadowStateRequest,
    ShowFacesRequest,
    TestOutputRequest,
    TuneRequest,
    UploadRequest,
    ViewingRequest,
)
from edge.page_service.changes import Changes
from edge.page_service.faces import Faces
from edge.page_service.installation import Installation
from edge.page_service.jobs import Jobs
from edge.page_service.limits import Limit
from edge.page_service.live import Door, LiveView, live_reply
from edge.page_service.log_lines import LogLines
from edge.page_service.pictures import Pictures
from edge.page_service.tasks import Context
from edge.page_service.uploads import Uploads
from edge.service.arming_control import ArmingControl, Note
from edge.service.control_server import Endpoint, Peer, Row, Table, is_operator

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 8
"""Connections of the page; its process needs two or three."""
LIMITED = (
    *(ArmRequest, DisarmRequest, MuteRequest, ShowFacesRequest, TestOutputRequest),
    *(ReloadRequest, InstallRequest, ViewingRequest),
)
"""Requests that are recorded, and that write to the card or reload; changes of settings count once they are valid."""
MOST_CHANGES, MOST_VISITS = 20, 60
"""Most of these requests in a minute, and of those among them that record a visit."""
SHARE = 0.1
"""Share of a processor for all answers in the thread of the socket; two viewers use a few percent."""
PAGE = Endpoint(
    SOCKET,
    GROUP,
    MAX_REQUEST,
    MAX_CONNECTIONS,
    f"only root and the group {GROUP} may use this socket",
    "the web page cannot reach fmd",
    SHARE,
)
RELAY_OPENS = "the relay may open a door; confirm that no one is harmed, then test it"


class PageEvent(msgspec.Struct, frozen=True):
    """Content of the event that the page was used: what was done, and by which role and address."""

    what: str
    who: str


@dataclass(frozen=True)
class Parts:
    """What the answers need of a run."""

    view: LiveView
    door: Door
    pictures: Pictures
    faces: Faces
    arming: ArmingControl
    note: Note
    lines: LogLines
    jobs: Jobs
    context: Callable[[], Context]
    uploads: Uploads
    changes: Changes
    installation: Installation
    limit: Limit
    clock: Callable[[], float]


def table(parts: Parts) -> Table:
    """Return the page's requests."""
    answers: Mapping[type[Message], Callable[[Any, Peer], Message | Future[Message]]] = {
        **_of_the_door(parts),
        **_of_changes(parts),
        **_of_the_record(parts),
        **_of_settings(parts),
        **_of_models(parts),
    }
    visits, refusals = (Limit(MOST_VISITS, what, parts.clock) for what in ("visits", "refused visits"))

    def limited(request: Message, peer: Peer) -> Message | Future[Message]:
        if isinstance(request, ViewingRequest):
            # Apart: anyone can be refused, and must not keep those who watch out of the record.
            (refusals if request.what == "refused" else visits).count()
        else:
            parts.limit.count()
        return answers[type(request)](request, peer)

    # The peer is a member of fmd-page, root, or the service's own user: the same rule as for operators, other group.
    return {request: Row(is_operator, limited if request in LIMITED else answer) for request, answer in answers.items()}


Answers = dict[type[Message], Callable[[Any, Peer], Message | Future[Message]]]


def _of_the_door(parts: Parts) -> Answers:
    """Return what is shown of the door."""

    def live(request: LiveRequest, peer: Peer) -> Message:
        return live_reply(parts.view, parts.door)

    def picture(request: PictureRequest, peer: Peer) -> Message:
        return parts.pictures.reply(request)

    def viewing(request: ViewingRequest, peer: Peer) -> Message:
        log.info("web page: %s %s", request.who or peer.name, VIEWING[request.what])
        parts.note("page", PageEvent(request.what, request.who))
        return DoneReply()

    return {LiveRequest: live, PictureRequest: picture, ViewingRequest: viewing}


VIEWING = {
    "began": "watches",
    "ended": "no longer watches",
    "signed_in": "signed in",
    "refused": "was refused",
    "signed_out": "signed out",
}
"""What a viewer did -> words for the log."""


def _of_changes(parts: Parts) -> Answers:
    """Return what changes something at once."""

    def arm(request: ArmRequest | DisarmRequest | MuteRequest, peer: Peer) -> Message:
        message = parts.arming.request(request, "page", f"web page ({request.who or peer.name})")
        return StateReply(pid=os.getpid(), arming=message, clock_known=parts.arming.board_clock.known)

    def faces(request: ShowFacesRequest, peer: Peer) -> Message:
        parts.faces.show(request.for_s, request.who)
        return DoneReply()

    def test(request: TestOutputRequest, peer: Peer) -> Message:
        if parts.arming.alert is None:
            raise ControlError("fmd has not opened its outputs yet")
        if request.output == "relay" and not request.confirmed:
            raise ControlError(RELAY_OPENS)
        parts.arming.alert.test(request.output)
        log.info("web page: %s tests the output %s", request.who or peer.name, request.output)
        parts.note("page", PageEvent(f"tested {request.output}", request.who))
        return DoneReply()

    return {ArmRequest: arm, DisarmRequest: arm, MuteRequest: arm, ShowFacesRequest: faces, TestOutputRequest: test}


def _of_the_record(parts: Parts) -> Answers:
    """Return what is read from the record, and the doctor's findings: in a child process."""

    def later(request: Message, peer: Peer) -> Future[Message]:
        return parts.jobs.submit(lambda: parts.jobs.in_child(request, parts.context()))

    def lines(request: LogRequest, peer: Peer) -> Future[Message]:
        def both() -> Message:
            found = parts.jobs.in_child(request, parts.context())
            assert isinstance(found, LogReply)
            return LogReply(lines=parts.lines.newest(request.lines), events=found.events)

        return parts.jobs.submit(both)

    backup = Backup(lambda request: parts.jobs.in_child(request, parts.context()))

    def piece(request: BackupRequest, peer: Peer) -> Future[Message]:
        return parts.jobs.submit(lambda: backup.piece(request))

    long = (ReportRequest, PassagesRequest, TuneRequest, DoctorRequest)
    return {**dict.fromkeys(long, later), LogRequest: lines, BackupRequest: piece}


class Backup:
    """The newest backup, which the page takes in pieces."""

    def __init__(self, make: Callable[[BackupRequest], Message]) -> None:
        self._make, self._file = make, FileReply(name="", content=b"", size=0)

    def piece(self, request: BackupRequest) -> FileReply:
        """Return a piece; offset 0 makes a new backup. Raises FmdError."""
        if request.offset == 0:
            made = self._make(request)
            assert isinstance(made, FileReply)
            self._file = made
        end = request.offset + PIECE
        return FileReply(name=self._file.name, content=self._file.content[request.offset : end], size=self._file.size)


def _of_settings(parts: Parts) -> Answers:
    """Return what shows and changes settings, in a thread of its own: a change waits for a reload."""
    answers: dict[type[Message], Callable[[Any], Message]] = {
        SettingsRequest: parts.changes.listed,
        ExportRequest: parts.changes.exported,
        ChangeRequest: parts.changes.change,
        ImportRequest: parts.changes.imported,
        ReloadRequest: parts.changes.reload,
    }

    def later(request: Message, peer: Peer) -> Future[Message]:
        return parts.jobs.quick.submit(lambda: answers[type(request)](request))

    return dict.fromkeys(answers, later)


def _of_models(parts: Parts) -> Answers:
    """Return what takes files, and installs models."""

    def upload(request: UploadRequest, peer: Peer) -> Message:
        parts.uploads.add(request)
        return DoneReply()

    def install(request: InstallRequest, peer: Peer) -> Message:
        parts.installation.begin(request)
        return DoneReply()

    def state(request: ShadowStateRequest, peer: Peer) -> Message:
        return parts.installation.state()

    return {UploadRequest: upload, InstallRequest: install, ShadowStateRequest: state}

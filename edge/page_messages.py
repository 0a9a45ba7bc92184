"""Requests of the web page to a running fmd, and their replies: typed structs, sent as :mod:`edge.control` describes.

The page runs as a user of its own. It reads neither the service's settings, nor record, nor cameras; all that it shows
comes from here. Times are ISO 8601 in UTC. Boxes and regions are shares 0..1 of the upright picture's width and height.
Texts of these replies are in plain English and may hold anything: the page escapes them.

The page has a settings file of its own, :data:`edge.paths.PAGE_SETTINGS`, which its user reads: address, port, names of
the host, certificate, roles. So it starts, and says that fmd does not run, while the service is stopped. Of the
service's settings only ``page.show_faces`` is about the page: the service alone decides whether a face may leave it.

Every request gets one reply: the struct that its docstring names, or a RefusedReply. The service answers most in
milliseconds; those of :data:`LONG` run in a child process, one at a time, and take up to :data:`LONG_S`. Requests that
change something name who asked, as role and address ("owner, 192.168.1.7"); the service records it as an event.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edge import control
from edge.control import DoneReply, Message, RefusedReply, ReloadRequest, StateReply
from edge.messages import ArmingMessage, HealthMessage

SOCKET = "page.sock"
"""Name of the page's socket in the runtime directory."""
GROUP = "fmd-page"
"""Group of the page's process; its members may send the requests of this module, and no others."""
PICTURES_PER_S = 5
"""Most pictures that the service encodes in a second."""
DECISIONS_KEPT = 20
"""Recent decisions in a live reply."""
PIECE = 60_000
"""Largest piece of an uploaded or downloaded file, bytes."""
MAX_REQUEST = PIECE + 4096
"""Largest frame of a request, in bytes, without the length."""
LONG_S = 120.0
"""How long the service works on a request of :data:`LONG`, seconds: a slow board loads every library for the doctor."""

Camera = Annotated[str, msgspec.Meta(max_length=64)]
"""Name of a camera; empty for the first or only one."""
Text = Annotated[str, msgspec.Meta(max_length=4096)]
Share = tuple[float, float, float, float]
"""Box xmin, ymin, xmax, ymax as shares of the picture."""
Who = Annotated[str, msgspec.Meta(max_length=200)]
"""Who asked, as role and address: "owner, 192.168.1.7"."""


class ArmRequest(control.ArmRequest, frozen=True, tag="arm"):
    """Arm, until the schedule changes. The reply is a StateReply, as for the next two."""

    who: Who = ""


class DisarmRequest(control.DisarmRequest, frozen=True, tag="disarm"):
    """Disarm, as :class:`edge.control.DisarmRequest` says."""

    who: Who = ""


class MuteRequest(control.MuteRequest, frozen=True, tag="mute"):
    """Silence buzzer and voice for ``for_s`` seconds; 0 ends it."""

    who: Who = ""


# Live ----------------------------------------------------------------------------------------------------------------


class LiveRequest(Message, frozen=True, tag="live"):
    """Ask for the state of door, cameras and people. The reply is a LiveReply."""


class PersonView(msgspec.Struct, frozen=True, kw_only=True):
    """A person in view.

    ``evidence`` is -1 to 1: 1 raises the alarm, -1 clears. ``outcome`` is a value of
    :class:`edge.contracts.Outcome`. ``words`` states the same for people ("no mask"). ``face_px`` is the face's width
    in pixels of the camera's picture, ``score`` the detector's.
    """

    id: int
    box: Share
    outcome: str
    label: str
    words: str
    evidence: float
    observations: int
    seconds: float
    violated: bool
    face_px: float
    score: float


class CameraView(msgspec.Struct, frozen=True, kw_only=True):
    """What one camera delivers now. ``hints`` is one plain sentence each, such as "The picture is too dark."

    ``state`` is the state that this camera leads to (:data:`edge.reporting.live_state.STATES`). ``picture`` counts its
    pictures since the start, ``age_s`` is the age of the newest. ``rotate`` is the setting ``camera.rotate`` of this
    camera; ``turn`` is the value that would make its faces upright, None without such a doubt. ``heat`` is true if the
    classifier gives heat maps.
    """

    name: str
    state: str
    health: HealthMessage | None
    hints: tuple[str, ...]
    picture: int
    age_s: float | None
    per_s: float
    width: int
    height: int
    people: tuple[PersonView, ...]
    ignore: tuple[tuple[tuple[float, float], ...], ...]
    only: tuple[tuple[tuple[float, float], ...], ...]
    rotate: int
    heat: bool
    turn: int | None = None


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """A recent decision in words: "no mask, alarm", and when."""

    at: str
    camera: str
    words: str
    change: str
    outcome: str
    alarm: bool


class LiveReply(Message, frozen=True, tag="live_reply"):
    """What fmd does now. ``state`` is the most urgent of all cameras' states.

    ``faces_until`` is until when pictures show faces, empty while they are blurred.
    """

    now: str
    state: str
    arming: ArmingMessage
    cameras: tuple[CameraView, ...]
    decisions: tuple[DecisionView, ...]
    faces_until: str
    faces_allowed: bool
    version: str
    board: str
    models: tuple[str, ...]
    uptime_s: float


class PictureRequest(Message, frozen=True, tag="picture"):
    """Ask for a camera's newest picture. ``after`` is the number of the picture the page has already.

    Faces are blurred, and nothing is drawn into the picture: boxes and regions are in the LiveReply, so that the page
    draws lines and texts sharply at any size. ``boxes`` draws the outlines of people and regions all the same, for a
    page without JavaScript. ``heat`` draws the classifier's heat map, if there is one. ``width`` is the largest width
    of the reply's picture. The service encodes at most :data:`PICTURES_PER_S` in a second, for all viewers together.
    """

    camera: Camera = ""
    after: int = 0
    heat: bool = False
    boxes: bool = False
    width: Annotated[int, msgspec.Meta(ge=64, le=1920)] = 640


class PictureReply(Message, frozen=True, tag="picture_reply"):
    """A picture as JPEG, empty if there is none newer than ``after`` (yet: ask again).

    ``age_s`` is its age, in seconds. ``people`` are those of the same frame, for boxes in step with the picture.
    """

    number: int
    age_s: float
    jpeg: bytes
    people: tuple[PersonView, ...] = ()


class ShowFacesRequest(Message, frozen=True, tag="show_faces"):
    """Show faces unblurred for ``for_s`` seconds; 0 ends it. Refused unless ``page.show_faces`` is set."""

    for_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 600.0
    who: Who = ""


class ViewingRequest(Message, frozen=True, tag="viewing"):
    """Record that a viewer began or ended to watch, or signed in. The reply is a DoneReply."""

    what: Literal["began", "ended", "signed_in", "refused", "signed_out"]
    who: Who


# Outputs and shadow runs ---------------------------------------------------------------------------------------------


class TestOutputRequest(Message, frozen=True, tag="test_output"):
    """Switch one output on as a lease of one second. The door's own alarm wins. The reply is a DoneReply.

    A relay may open a door: it needs ``confirmed``, which the page sets after it asked its user.
    """

    output: Literal["led", "buzzer", "relay", "voice"]
    confirmed: bool = False
    who: Who = ""


class ShadowStateRequest(Message, frozen=True, tag="shadow_state"):
    """Ask for the shadow run, if there is one. The reply is a ShadowStateReply."""


class ShadowStateReply(Message, frozen=True, tag="shadow_state_reply"):
    """Progress of the newest installation: ``phase`` is none, staged, proving, shadow, installed, refused or failed."""

    phase: str
    words: str
    observations: int = 0
    agreement: float | None = None
    share: float = 0.0


class UploadRequest(Message, frozen=True, tag="upload"):
    """One piece of a file that the owner uploads; ``offset`` 0 begins it. The reply is a DoneReply."""

    purpose: Literal["model", "settings"]
    name: Annotated[str, msgspec.Meta(max_length=200)]
    offset: Annotated[int, msgspec.Meta(ge=0)]
    piece: Annotated[bytes, msgspec.Meta(max_length=PIECE)]


class InstallRequest(Message, frozen=True, tag="install"):
    """Install the uploaded model, after a shadow run beside the present one. The reply is a DoneReply."""

    name: Annotated[str, msgspec.Meta(max_length=200)]
    task: Literal["classifier", "detector"] = "classifier"
    who: Who = ""


# Record --------------------------------------------------------------------------------------------------------------


class ReportRequest(Message, frozen=True, tag="report"):
    """Ask for a report: ``period`` is day, week or month, ``back`` how many of them ago (0: the present one)."""

    period: Literal["day", "week", "month"] = "week"
    back: Annotated[int, msgspec.Meta(ge=0, le=120)] = 0
    camera: Camera = ""


class ReportReply(Message, frozen=True, tag="report_reply"):
    """A report as JSON (as of ``fmd report --json``) and as the page's HTML fragment without scripts."""

    report: bytes
    html: str


class PassagesRequest(Message, frozen=True, tag="passages"):
    """Ask for recorded passages, the newest first, for instance the unsure ones."""

    outcome: Literal["", "unsure", "violation", "compliant"] = "unsure"
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class PassageView(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded passage in words."""

    at: str
    camera: str
    outcome: str
    words: str
    violated: bool
    observations: int
    seconds: float
    face_px: float


class PassagesReply(Message, frozen=True, tag="passages_reply"):
    """Recorded passages, and messages about drift that are open."""

    passages: tuple[PassageView, ...]
    drift: tuple[str, ...]


class TuneRequest(Message, frozen=True, tag="tune"):
    """Ask what other settings of [decide] would have done with the passages of the last ``days``. Text as in TOML."""

    changes: dict[str, Text]
    days: Annotated[int, msgspec.Meta(ge=1, le=31)] = 7
    camera: Camera = ""


class TuneReply(Message, frozen=True, tag="tune_reply"):
    """Effects before and after, as JSON of :class:`edge.record.tune.Effect`, and how many passages would differ."""

    before: bytes
    after: bytes
    differing: int


# Settings ------------------------------------------------------------------------------------------------------------


class SettingsRequest(Message, frozen=True, tag="settings"):
    """Ask for every setting. The reply is a SettingsReply."""


class SettingView(msgspec.Struct, frozen=True, kw_only=True):
    """A setting. ``value`` and ``default`` are TOML text; a secret's value is "set" or "not set".

    ``origin`` is default, file, page or command. ``access`` is edit, confirm (pins and outputs), read or secret.
    ``choices`` is empty unless the setting is one of a few words.
    """

    key: str
    section: str
    comment: str
    value: str
    default: str
    origin: str
    kind: str
    access: str
    choices: tuple[str, ...] = ()


class SettingsReply(Message, frozen=True, tag="settings_reply"):
    """All settings in the order of default.toml."""

    settings: tuple[SettingView, ...]


class ChangeRequest(Message, frozen=True, tag="change"):
    """Change settings in the overlay and reload: key to TOML text, None to reset it. ``confirmed`` is for pins."""

    changes: dict[Annotated[str, msgspec.Meta(max_length=100)], Text | None]
    confirmed: bool = False
    who: Who = ""


class ChangeReply(Message, frozen=True, tag="change_reply"):
    """Whether the changes are in use, what the service said, and errors by key ("" for all together)."""

    applied: bool
    words: str
    errors: dict[str, str]


class ExportRequest(Message, frozen=True, tag="export"):
    """Ask for the overlay as TOML text without secrets. The reply is a FileReply."""


class ImportRequest(Message, frozen=True, tag="import"):
    """Replace the overlay by the uploaded TOML text of this name. The reply is a ChangeReply."""

    name: Annotated[str, msgspec.Meta(max_length=200)]
    confirmed: bool = False
    who: Who = ""


class FileReply(Message, frozen=True, tag="file"):
    """A file for the owner: its name, all or one piece of its content, and its whole size."""

    name: str
    content: bytes
    size: int


# Health --------------------------------------------------------------------------------------------------------------


class DoctorRequest(Message, frozen=True, tag="doctor"):
    """Ask for the doctor's findings. The reply is a DoctorReply, after seconds."""


class FindingView(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of the doctor: status (ok, warning, error), what, and how to fix it."""

    status: str
    title: str
    words: str
    fix: str


class DoctorReply(Message, frozen=True, tag="doctor_reply"):
    """All findings."""

    findings: tuple[FindingView, ...]


class LogRequest(Message, frozen=True, tag="log"):
    """Ask for the newest lines of this process' log and the record's events since midnight."""

    lines: Annotated[int, msgspec.Meta(ge=1, le=500)] = 200


class LogReply(Message, frozen=True, tag="log_reply"):
    """Lines, the newest last, without secrets."""

    lines: tuple[str, ...]
    events: tuple[str, ...]


class BackupRequest(Message, frozen=True, tag="backup"):
    """Ask for one piece of a backup of the settings; offset 0 makes it. The reply is a FileReply."""

    offset: Annotated[int, msgspec.Meta(ge=0)] = 0


Request = (
    ArmRequest
    | DisarmRequest
    | MuteRequest
    | ReloadRequest
    | LiveRequest
    | PictureRequest
    | ShowFacesRequest
    | ViewingRequest
    | TestOutputRequest
    | ShadowStateRequest
    | UploadRequest
    | InstallRequest
    | ReportRequest
    | PassagesRequest
    | TuneRequest
    | SettingsRequest
    | ChangeRequest
    | ExportRequest
    | ImportRequest
    | DoctorRequest
    | LogRequest
    | BackupRequest
)
"""What the page may ask."""

LONG: tuple[type[Message], ...] = (
    ReportRequest,
    PassagesRequest,
    TuneRequest,
    SettingsRequest,
    ExportRequest,
    ChangeRequest,
    ImportRequest,
    ReloadRequest,
    DoctorRequest,
    LogRequest,
    BackupRequest,
)
"""Requests whose reply may take seconds. The service carries out one at a time of those that need a child process, and
one of those about settings; the others wait."""

Reply = (
    LiveReply
    | PictureReply
    | ShadowStateReply
    | ReportReply
    | PassagesReply
    | TuneReply
    | SettingsReply
    | ChangeReply
    | FileReply
    | DoctorReply
    | LogReply
    | StateReply
    | DoneReply
    | RefusedReply
)
"""Replies to the page."""

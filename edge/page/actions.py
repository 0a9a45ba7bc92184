"""One function per change that a form or a script asks for. Only the owner comes here, with the session's CSRF token.

A script that accepts JSON gets ``{"words": ...}``; a form gets the page that it came from, which shows the words once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from edge.control import DoneReply, ReloadRequest, StateReply
from edge.errors import ControlError, NotRunningError
from edge.messages import arming_in_words
from edge.page import show_aim, signing, views
from edge.page.site import Visit
from edge.page_messages import (
    PIECE,
    ArmRequest,
    BackupRequest,
    ChangeReply,
    ChangeRequest,
    DisarmRequest,
    ExportRequest,
    FileReply,
    ImportRequest,
    InstallRequest,
    LiveReply,
    LiveRequest,
    MuteRequest,
    ShadowStateReply,
    ShadowStateRequest,
    ShowFacesRequest,
    TestOutputRequest,
    TuneReply,
    TuneRequest,
    UploadRequest,
)

log = logging.getLogger(__name__)

Struct = TypeVar("Struct", bound=msgspec.Struct)
SETTING = "set."
"""Prefix of the fields of a form that are settings: ``set.decide.on_unsure``."""


async def arm(visit: Visit) -> Response:
    """Arm."""
    return await _arming(visit, ArmRequest(who=visit.session.who))


async def disarm(visit: Visit) -> Response:
    """Disarm for ``for_s`` seconds, ``until`` a time of day, or until armed."""
    request = {"for_s": _number(visit, "for_s", 0.0), "until": visit.form.get("until", "")}
    return await _arming(visit, _converted(visit, request, DisarmRequest))


async def mute(visit: Visit) -> Response:
    """Silence buzzer and voice for ``for_s`` seconds; 0 ends it."""
    return await _arming(visit, _converted(visit, {"for_s": _number(visit, "for_s", 600.0)}, MuteRequest))


async def _arming(visit: Visit, request: ArmRequest | DisarmRequest | MuteRequest) -> Response:
    reply = await visit.ask(request, StateReply)
    return _done(visit, arming_in_words(reply.arming), "/")


async def faces(visit: Visit) -> Response:
    """Show faces for ``for_s`` seconds; 0 ends it."""
    request = _converted(visit, {"for_s": _number(visit, "for_s", 600.0)}, ShowFacesRequest)
    await visit.ask(request, DoneReply)
    return _done(visit, "Faces are shown." if request.for_s else "Faces are blurred.", "/")


async def test_output(visit: Visit) -> Response:
    """Switch an output on for one second."""
    fields = {"output": visit.form.get("output", ""), "confirmed": _confirmed(visit)}
    request = _converted(visit, fields, TestOutputRequest)
    await visit.ask(request, DoneReply)
    return _done(visit, f"The {request.output} was on for a second.", "/health")


async def reload(visit: Visit) -> Response:
    """Have fmd read its settings again."""
    await visit.ask(ReloadRequest(), DoneReply)
    return _done(visit, "fmd reads its settings again.", "/settings")


async def change(visit: Visit) -> Response:
    """Change the settings whose fields begin with ``set.``, and reset those that ``reset`` names."""
    changes: dict[str, str | None] = dict(_settings(visit.form))
    if "reset" in visit.form:
        changes[visit.form["reset"]] = None
    return await _change(visit, changes, "/settings")


async def rotate(visit: Visit) -> Response:
    """Turn the picture of one camera."""
    reply, turn = await visit.ask(LiveRequest(), LiveReply), int(_number(visit, "rotate", -1))
    return await _change(visit, show_aim.rotation_changes(reply, visit.form.get("camera", ""), turn), "/aim")


async def regions(visit: Visit) -> Response:
    """Replace the regions of one camera."""
    reply = await visit.ask(LiveRequest(), LiveReply)
    changes = show_aim.region_changes(reply, visit.form.get("camera", ""), visit.form.get("regions", ""))
    return await _change(visit, changes, "/aim")


async def _change(visit: Visit, changes: Mapping[str, str | None], back: str) -> Response:
    request = _converted(visit, {"changes": changes, "confirmed": _confirmed(visit)}, ChangeRequest)
    return await _changed(visit, await visit.ask(request, ChangeReply), back)


async def tune(visit: Visit) -> Response:
    """Return what other settings would have done as JSON: the effects before and after, or why there are none."""
    days = _number(visit, "days", 7)
    fields = {"changes": _settings(visit.form), "days": int(days), "camera": visit.form.get("camera", "")}
    try:
        reply = await visit.ask(_converted(visit, fields, TuneRequest), TuneReply)
    except NotRunningError:
        raise
    except ControlError as error:  # such as no passages yet, which is no fault
        return JSONResponse({"words": str(error)})
    before, after = msgspec.json.decode(reply.before), msgspec.json.decode(reply.after)
    return JSONResponse({"before": before, "after": after, "differing": reply.differing})


async def export(visit: Visit) -> Response:
    """Send the changed settings as a file."""
    return _file(await visit.ask(ExportRequest(), FileReply))


async def import_(visit: Visit) -> Response:
    """Replace the changed settings by the field ``content``, TOML text."""
    content, name = visit.form.get("content", "").encode(), "import.toml"
    for at in range(0, max(len(content), 1), PIECE):
        piece = UploadRequest(purpose="settings", name=name, offset=at, piece=content[at : at + PIECE])
        await visit.ask(piece, DoneReply)
    request = ImportRequest(name=name, confirmed=_confirmed(visit), who=visit.session.who)
    return await _changed(visit, await visit.ask(request, ChangeReply), "/settings")


async def upload_model(visit: Visit) -> Response:
    """Pass a model file, the whole body of this request, on to the service and have it installed."""
    fields = {"name": visit.query.get("name", ""), "task": visit.query.get("task", "classifier")}
    install = _converted(visit, fields, InstallRequest)
    offset, waiting = 0, bytearray()
    async for received in visit.request.stream():
        waiting += received
        while len(waiting) >= PIECE:
            await _upload(visit, install.name, offset, bytes(waiting[:PIECE]))
            offset += PIECE
            del waiting[:PIECE]
    await _upload(visit, install.name, offset, bytes(waiting))
    await visit.ask(install, DoneReply)
    return _done(visit, f"{install.name} is being checked beside the present model.", "/health")


async def _upload(visit: Visit, name: str, offset: int, piece: bytes) -> None:
    await visit.ask(UploadRequest(purpose="model", name=name, offset=offset, piece=piece), DoneReply)


async def shadow(visit: Visit) -> Response:
    """Return the progress of an installation as JSON."""
    reply = await visit.ask(ShadowStateRequest(), ShadowStateReply)
    return Response(msgspec.json.encode(reply), media_type="application/json")


async def backup(visit: Visit) -> Response:
    """Send a backup of the settings as a file."""
    first = await visit.ask(BackupRequest(), FileReply)
    content = bytearray(first.content)
    while len(content) < first.size:
        piece = await visit.ask(BackupRequest(offset=len(content)), FileReply)
        if not piece.content:
            raise HTTPException(502, "the backup changed while it was read; try again")
        content += piece.content
    return _file(msgspec.structs.replace(first, content=bytes(content)))


async def awake(visit: Visit) -> Response:
    """Note that the visitor is still there. Reaching this function is what counts."""
    return JSONResponse({"words": ""})


def _settings(form: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(SETTING): value for key, value in form.items() if key.startswith(SETTING)}


async def _changed(visit: Visit, reply: ChangeReply, back: str) -> Response:
    """Return the answer to a change; after a refused form of settings, that form with its errors."""
    if not reply.applied and not visit.wants_json and _back(visit, back) == "/settings":
        log.info("%s: %s %s", visit.session.who, visit.request.url.path, reply.words)
        return await views.refused_settings(visit, reply, _settings(visit.form))
    errors = "; ".join(f"{key}: {why}" if key else why for key, why in reply.errors.items())
    words = f"{reply.words} {errors}".strip()
    return _done(visit, words, back, applied=reply.applied, errors=reply.errors)


def _back(visit: Visit, default: str) -> str:
    """Return the page that a form came from, if it says so."""
    return signing.place(visit.form["back"]) if "back" in visit.form else default


def _done(visit: Visit, words: str, back: str, **more: object) -> Response:
    log.info("%s: %s %s", visit.session.who, visit.request.url.path, words)
    return visit.done(words, _back(visit, back), **more)


def _file(reply: FileReply) -> Response:
    name = "".join(letter for letter in reply.name if letter.isascii() and (letter.isalnum() or letter in "._-"))
    headers = {"Content-Disposition": f'attachment; filename="{name or "fmd"}"'}
    return Response(reply.content, headers=headers, media_type="application/octet-stream")


def _number(visit: Visit, field: str, default: float) -> float:
    text = visit.form.get(field, "")
    try:
        number = float(text) if text else default
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise HTTPException(400, f"{field}: got {text[:40]!r}, expected a number")
    return number


def _confirmed(visit: Visit) -> bool:
    """Return whether the visitor was asked about pins or a relay, and agreed."""
    return visit.form.get("confirmed") == "1"


def _converted(visit: Visit, fields: Mapping[str, object], kind: type[Struct]) -> Struct:
    """Return a request from what a visitor sent, checked as the service checks it. If it changes anything, with who."""
    who = {"who": visit.session.who} if "who" in kind.__struct_fields__ else {}
    try:
        return msgspec.convert({**fields, **who}, kind)
    except msgspec.ValidationError as error:
        raise HTTPException(400, str(error)) from error

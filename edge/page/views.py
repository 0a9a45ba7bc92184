"""One function per screen: what it asks of the service, and its template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from starlette.responses import PlainTextResponse, Response

from edge.errors import ControlError, NotRunningError
from edge.page import accuracy, show_aim, show_health, show_live, show_record, show_settings
from edge.page.parts import Changes
from edge.page.site import Visit
from edge.page_messages import (
    ChangeReply,
    DoctorReply,
    DoctorRequest,
    LiveReply,
    LiveRequest,
    LogReply,
    LogRequest,
    PassagesReply,
    PassagesRequest,
    PictureRequest,
    ReportReply,
    ReportRequest,
    SettingsReply,
    SettingsRequest,
    ShadowStateReply,
    ShadowStateRequest,
)

WIDEST, NARROWEST = 1920, 64
"""Widths of a picture that a visitor may ask for, pixels."""
PERIODS: Mapping[str, Literal["day", "week", "month"]] = {"day": "day", "week": "week", "month": "month"}
MOST_BACK = 120
"""Periods that a visitor may go back."""
PASSAGES = 40
"""Unsure passages on the screen of the record."""
STEPS = ("Password", "Picture", "Aim", "Test")
"""Steps of the first visit."""


async def live(visit: Visit) -> Response:
    """Show the state, the pictures and recent decisions."""
    found = show_live.live(await visit.ask(LiveRequest(), LiveReply), visit.query.get("camera", ""))
    return visit.page("live.html", live=found, heat=visit.query.get("heat") == "1")


async def aim(visit: Visit) -> Response:
    """Show the picture with the ruler and the regions."""
    return visit.page("aim.html", aim=await _aim(visit))


async def record(visit: Visit) -> Response:
    """Show the report of a day, a week or a month, messages about drift, unsure passages, and thresholds to try."""
    wanted, back = visit.query.get("period", ""), visit.query.get("back", "")
    request = ReportRequest(
        period=PERIODS.get(wanted, "week"),
        back=min(int(back), MOST_BACK) if back.isdecimal() and len(back) < 5 else 0,
    )
    report, passages = ReportReply(report=b"", html=""), PassagesReply(passages=(), drift=())
    missing = ""
    try:
        report = await visit.ask(request, ReportReply)
        passages = await visit.ask(PassagesRequest(limit=PASSAGES), PassagesReply)
    except NotRunningError:
        raise
    except ControlError as error:  # such as a run without a record
        missing = str(error)
    settings = await visit.ask(SettingsRequest(), SettingsReply)
    found = show_record.record(request.period, request.back, report, passages, settings, missing)
    return visit.page("record.html", record=found, periods=show_record.PERIODS, effects=show_record.EFFECTS)


async def settings(visit: Visit) -> Response:
    """Show every setting."""
    found = await visit.ask(SettingsRequest(), SettingsReply)
    return visit.page("settings.html", sections=show_settings.sections(found), problem="")


async def refused_settings(visit: Visit, reply: ChangeReply, typed: Mapping[str, str]) -> Response:
    """Show every setting after a change that the service refused: errors and what was typed stay with their keys."""
    found = await visit.ask(SettingsRequest(), SettingsReply)
    known = {view.key for view in found.settings}
    others = [f"{key}: {why}" if key else why for key, why in reply.errors.items() if key not in known]
    marked = ", ".join(key for key in reply.errors if key in known)
    words = (reply.words, f"Marked below: {marked}." if marked else "", *others)
    sections = show_settings.sections(found, reply.errors, typed)
    return visit.page("settings.html", 422, sections=sections, problem=" ".join(filter(None, words)))


async def health(visit: Visit) -> Response:
    """Show the models and, because that takes seconds only when asked for, the doctor's findings and the log."""
    doctor, log = None, None
    if visit.query.get("checks") == "1":
        doctor, log = await visit.ask(DoctorRequest(), DoctorReply), await visit.ask(LogRequest(), LogReply)
    shadow = await visit.ask(ShadowStateRequest(), ShadowStateReply)
    found = show_health.health(await visit.ask(LiveRequest(), LiveReply), shadow, doctor, log)
    return visit.page("health.html", health=found)


async def first(visit: Visit) -> Response:
    """Show one of the steps of the first visit; the one after the last says that fmd watches."""
    step = visit.query.get("step", "1")
    number = int(step) if step in "12345" and len(step) == 1 else 1
    live = show_live.live(await visit.ask(LiveRequest(), LiveReply))
    return visit.page("first.html", step=number, steps=STEPS, live=live, aim=await _aim(visit))


async def events(visit: Visit) -> Response:
    """Send the parts of a screen as they change (server-sent events): id of the element -> its HTML."""
    changes = Changes(visit.site.part, visit.query.get("screen", ""), visit.query.get("camera", ""))
    return visit.site.live.events(visit.session, changes)


async def _aim(visit: Visit) -> show_aim.Aim:
    reply = await visit.ask(LiveRequest(), LiveReply)
    return show_aim.aim(reply, visit.query.get("camera", ""), accuracy.bands())


async def picture(visit: Visit) -> Response:
    """Send a camera's pictures (MJPEG); the fields are ``heat`` (1), ``boxes`` (1) and ``width`` in pixels."""
    width = visit.query.get("width", "640")
    pixels = min(max(int(width), NARROWEST), WIDEST) if width.isdecimal() and len(width) < 6 else 640
    camera = visit.request.path_params["camera"]
    if len(camera) > 64:
        return PlainTextResponse("no such camera\n", 404)
    heat, boxes = (visit.query.get(field) == "1" for field in ("heat", "boxes"))
    request = PictureRequest(camera=camera, heat=heat, boxes=boxes, width=pixels)
    return visit.site.live.pictures(visit.session, request)


async def static(visit: Visit) -> Response:
    """Send a file of static/. Its address names its version, so browsers may keep it."""
    asset = visit.site.assets.get(visit.request.path_params["name"])
    if asset is None:
        return PlainTextResponse("no such file\n", 404)
    kept = visit.query.get("v") == asset.version
    headers = {"Cache-Control": "public, max-age=31536000, immutable"} if kept else {}
    return Response(asset.content, headers=headers, media_type=asset.type)

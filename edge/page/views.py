"""One function per screen: what it asks of the service, and its template."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from edge.page.site import Visit
from edge.page_messages import (
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
)

WIDEST, NARROWEST = 1920, 64


async def live(visit: Visit) -> Response:
    """Show the state, the pictures and recent decisions."""
    return visit.page("live.html", live=await visit.ask(LiveRequest(), LiveReply))


async def aim(visit: Visit) -> Response:
    """Show the picture with the ruler and the regions."""
    return visit.page("aim.html", live=await visit.ask(LiveRequest(), LiveReply))


async def record(visit: Visit) -> Response:
    """Show the report of a day, a week or a month, messages about drift, and unsure passages."""
    period = visit.query.get("period", "week")
    period = period if period in ("day", "week", "month") else "week"
    report = await visit.ask(ReportRequest(period=period), ReportReply)  # type: ignore[arg-type]
    passages = await visit.ask(PassagesRequest(), PassagesReply)
    return visit.page("record.html", report=report, passages=passages, period=period)


async def settings(visit: Visit) -> Response:
    """Show every setting."""
    return visit.page("settings.html", settings=(await visit.ask(SettingsRequest(), SettingsReply)).settings)


async def health(visit: Visit) -> Response:
    """Show the doctor's findings, the log, and the models."""
    log = await visit.ask(LogRequest(), LogReply)
    doctor = await visit.ask(DoctorRequest(), DoctorReply)
    return visit.page("health.html", findings=doctor.findings, log=log, live=await visit.ask(LiveRequest(), LiveReply))


async def first(visit: Visit) -> Response:
    """Show the steps of the first visit."""
    return visit.page("first.html", live=await visit.ask(LiveRequest(), LiveReply))


async def events(visit: Visit) -> Response:
    """Send the state as it changes (server-sent events)."""
    return visit.site.live.events(visit.session)


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

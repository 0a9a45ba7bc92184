"""The application: the table of routes behind the checks that each request must pass."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edge.errors import ControlError, FmdError, NotRunningError, SettingsError
from edge.page import signing
from edge.page.gate import Gate
from edge.page.live import FullError
from edge.page.routes import MAY, ROUTES, Row
from edge.page.sessions import Session
from edge.page.site import Site, Visit, address_of

log = logging.getLogger(__name__)

FIELDS = 600
"""Most fields of a form: fmd has some 150 settings."""
RETRY_S = 5
"""When a browser loads a page again that fmd could not fill."""
CSRF_HEADER = "x-csrf"
STATUS = {NotRunningError: 503, FullError: 503, ControlError: 409, SettingsError: 400}
"""Expected error -> status of the reply."""


def make_app(site: Site) -> ASGIApp:
    """Return the application for one site."""
    routes = [Route(row.path, _endpoint(site, row), methods=[row.method], max_body_size=row.body) for row in ROUTES]

    async def failed(request: Request, error: Exception) -> Response:
        status, words = _explained(error)
        visit = Visit(site, request, site.session_of(request) or Session(address=address_of(request)))
        return _problem(visit, status, words)

    app = Starlette(routes=routes, max_body_size=0, exception_handlers={HTTPException: failed, FmdError: failed})
    app.router.redirect_slashes = False
    return Gate(app, site.settings.names)


def _endpoint(site: Site, row: Row) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await _answer(site, row, request)
        except ClientDisconnect:
            return Response(status_code=400)

    return endpoint


async def _answer(site: Site, row: Row, request: Request) -> Response:
    """Answer a request: find who asks, check what it may do, and read its form."""
    session, token = site.session_of(request), ""
    if session is None and site.demo:
        token, session = site.sessions.open("owner", address_of(request))
    session = session or Session(address=address_of(request))
    visit = Visit(site, request, session)
    if session.role not in MAY[row.role]:
        if not session.role and row.page:
            return visit.sign_in()
        return _problem(visit, 403 if session.role else 401, "You may not do this." if session.role else "Sign in.")
    if row.method == "POST":
        fields = await _fields(row, request)
        csrf = fields.pop("csrf", "") or request.headers.get(CSRF_HEADER, "")
        # Signing in needs none: there is no session yet, and the gate has checked where the request comes from.
        if row.role and not session.has(csrf):
            return _problem(visit, 403, "This form is too old. Load the page again.")
        visit = Visit(site, request, session, fields)
    # Without JavaScript, a screen loads itself again; that is no interaction either.
    if not row.stream and visit.query.get("again") != "1":
        site.sessions.touch(session)
    response = await row.view(visit)
    if token:
        signing.set_cookie(visit, response, token)
    return response


async def _fields(row: Row, request: Request) -> dict[str, str]:
    """Return the fields of a form. Raises HTTPException for a body that is none, or too large."""
    if not row.form:
        return {}
    body = await request.body()
    if body and request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise HTTPException(415, "expected a form")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except ValueError as error:  # UnicodeDecodeError among them
        raise HTTPException(400, "not a form, or one with too many fields") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise HTTPException(400, "a field occurs twice")
    return fields


def _explained(error: Exception) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500), str(error)


def _problem(visit: Visit, status: int, words: str) -> Response:
    """Return an error in the form that the visitor asked for. While fmd does not run, the page loads itself again."""
    if visit.wants_json:
        return JSONResponse({"words": words}, status)
    headers = {"Refresh": str(RETRY_S)} if status == 503 and visit.request.method == "GET" else {}
    return visit.page("problem.html", status, headers, words=words)

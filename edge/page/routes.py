"""The table of routes: path, method, who may use it, and the function that answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.responses import Response

from edge.page import actions, signing, views
from edge.page.site import Visit

View = Callable[[Visit], Awaitable[Response]]
ANYONE, VIEWER, OWNER = "", "viewer", "owner"
MAY = {ANYONE: {"", "viewer", "owner"}, VIEWER: {"viewer", "owner"}, OWNER: {"owner"}}
"""Role that a row names -> roles that may use it."""
FORM_BYTES, MODEL_BYTES = 256 << 10, 64 << 20
"""Largest bodies of requests."""


class Row(NamedTuple):
    """A route. ``page`` is true if it shows a page to people: a visitor who is not signed in is led to the form.

    ``stream`` is true if the request is no sign that its visitor is there: a browser may repeat it by itself.
    ``body`` is the largest body in bytes; ``form`` is true if the body is a form.
    """

    path: str
    method: str
    role: str
    view: View
    page: bool = False
    stream: bool = False
    body: int = FORM_BYTES
    form: bool = True


ROUTES = (
    Row("/", "GET", VIEWER, views.live, page=True),
    Row("/aim", "GET", VIEWER, views.aim, page=True),
    Row("/record", "GET", VIEWER, views.record, page=True),
    Row("/settings", "GET", VIEWER, views.settings, page=True),
    Row("/health", "GET", VIEWER, views.health, page=True),
    Row("/first", "GET", VIEWER, views.first, page=True),
    Row("/login", "GET", ANYONE, signing.form, page=True),
    Row("/login", "POST", ANYONE, signing.sign_in, page=True),
    Row("/logout", "POST", VIEWER, signing.sign_out),
    Row("/events", "GET", VIEWER, views.events, stream=True),
    Row("/picture/{camera:path}", "GET", VIEWER, views.picture, stream=True),
    Row("/static/{name}", "GET", ANYONE, views.static, stream=True),
    Row("/awake", "POST", VIEWER, actions.awake),
    Row("/arm", "POST", OWNER, actions.arm),
    Row("/disarm", "POST", OWNER, actions.disarm),
    Row("/mute", "POST", OWNER, actions.mute),
    Row("/faces", "POST", OWNER, actions.faces),
    Row("/test", "POST", OWNER, actions.test_output),
    Row("/reload", "POST", OWNER, actions.reload),
    Row("/settings", "POST", OWNER, actions.change),
    Row("/rotate", "POST", OWNER, actions.rotate),
    Row("/regions", "POST", OWNER, actions.regions),
    Row("/settings/export", "GET", OWNER, actions.export),
    Row("/settings/import", "POST", OWNER, actions.import_),
    Row("/tune", "POST", VIEWER, actions.tune),
    Row("/model", "POST", OWNER, actions.upload_model, body=MODEL_BYTES, form=False),
    Row("/shadow", "GET", VIEWER, actions.shadow, stream=True),
    Row("/backup", "GET", OWNER, actions.backup),
)

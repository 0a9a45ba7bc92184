"""Signing in and out."""

from __future__ import annotations

import asyncio
import math

from starlette.responses import RedirectResponse, Response

from edge.page import password
from edge.page.site import Visit, address_of

NO_PASSWORD = "No password is set. On the board: sudo fmd page password"
WRONG = "Wrong password."
PLACES = ("/", "/aim", "/record", "/settings", "/health", "/first")
"""Where signing in may lead."""


async def form(visit: Visit) -> Response:
    """Show the form. Who is signed in already goes on."""
    if visit.session.role:
        return RedirectResponse(place(visit.query.get("next", "/")), 303)
    return shown(visit, "" if visit.site.hashes() else NO_PASSWORD)


async def sign_in(visit: Visit) -> Response:
    """Check role and password; start a session with a new token."""
    site, address = visit.site, address_of(visit.request)
    role, typed = visit.form.get("role", password.ROLES[0]), visit.form.get("password", "")
    stored = site.hashes().get(role)
    if stored is None:
        return shown(visit, WRONG if site.hashes() else NO_PASSWORD, 403)
    wait_s = site.logins.wait_s(address)
    if wait_s:
        seconds = math.ceil(wait_s)
        words = f"Too many attempts. Try again in {seconds} seconds."
        return shown(visit, words, 429, {"Retry-After": str(seconds)})
    # One at a time: each takes 16 MB and a second of the board's processor.
    async with site.hashing:
        good = len(typed) <= password.LONGEST and await asyncio.to_thread(password.matches, typed, stored)
    if not good:
        site.record("refused", f"{role}, {address}")
        return shown(visit, WRONG, 403)
    site.logins.succeeded(address)
    token, session = site.sessions.open(role, address, stored)
    site.record("signed_in", session.who)
    response = RedirectResponse(place(visit.form.get("next", "/")), 303)
    set_cookie(visit, response, token)
    return response


async def sign_out(visit: Visit) -> Response:
    """End the session."""
    visit.site.sessions.close(visit.session)
    visit.site.record("signed_out", visit.session.who)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(visit.site.cookie, secure=visit.site.secure, httponly=True, samesite="strict")
    return response


def shown(visit: Visit, words: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return the form with a message."""
    fields = {**visit.query, **visit.form}
    return visit.page("login.html", status, headers, words=words, next=place(fields.get("next", "/")))


def place(wanted: str) -> str:
    """Return a page of this board: what a form or an address names may be anywhere."""
    return wanted if wanted.partition("?")[0] in PLACES else "/"


def set_cookie(visit: Visit, response: Response, token: str) -> None:
    """Give the visitor a session's token. No script reads it, and no other site makes the browser send it."""
    site = visit.site
    response.set_cookie(site.cookie, token, secure=site.secure, httponly=True, samesite="strict", path="/")

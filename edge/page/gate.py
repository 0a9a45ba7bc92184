"""Checks of every request before anything else sees it, and headers of every reply.

A foreign site may make a browser send requests here (CSRF), or make its own name point to this board's address (DNS
rebinding). So the Host must be a name of this board, and what changes anything must come from a page of this board.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""Of every reply."""
UNSTORED = "no-store"
"""Cache-Control of every reply that states none itself."""
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")
HEADER_BYTES = 16 << 10
"""Largest header of a request, with its address."""
READING, CHANGING = "GET", "POST"
"""The only methods. Browsers send no other from pages and forms."""
OWN_SITE = ("same-origin", "none")
"""Values of Sec-Fetch-Site that a page of this board, or the address bar, causes."""


class Gate:
    """An ASGI application that lets only good requests reach ``app``. ``names`` are further names of this board."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", UNSTORED)
            await send(message)

        refused = self._refusal(scope)
        await (refused or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        # h11 limits a header that arrives in pieces only.
        if _size_of(scope) > HEADER_BYTES:
            return PlainTextResponse(f"The header has more than {HEADER_BYTES} bytes.\n", 431)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return PlainTextResponse(
                "This board has another name. Use its address, or add the name to names in /etc/fmd/page.toml.\n", 421
            )
        if scope["method"] == READING:
            return None
        if scope["method"] != CHANGING:
            return PlainTextResponse("Only GET and POST.\n", 405, {"Allow": f"{READING}, {CHANGING}"})
        origins = headers.getlist("origin")
        own = [f"{scope['scheme']}://{hosts[0]}".lower()]
        if [origin.lower() for origin in origins] != own or headers.get("sec-fetch-site", "none") not in OWN_SITE:
            return PlainTextResponse("Refused: this request does not come from a page of this board.\n", 403)
        return None

    def _is_own(self, header: str) -> bool:
        """Return whether a Host header names this board. Addresses do: no foreign site can make one its own."""
        found = HOST.fullmatch(header)
        if found is None:
            return False
        host = found[1].lower().rstrip(".")
        if host.endswith(".local") or host in self._names:
            return True
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        return True


def _size_of(scope: Scope) -> int:
    fields = sum(len(name) + len(value) for name, value in scope["headers"])
    return fields + len(scope["raw_path"]) + len(scope["query_string"])

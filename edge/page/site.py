"""What all views share (:class:`Site`), and one request of one visitor (:class:`Visit`)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from edge.control import DoneReply, Expected, Message
from edge.errors import ControlError
from edge.files import read_regular
from edge.page import password
from edge.page.limits import LoginLimit
from edge.page.live import LINGER_S, Live
from edge.page.service import Service
from edge.page.sessions import Session, Sessions
from edge.page.settings import ServerSettings
from edge.page_messages import ViewingRequest

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
MOST_PASSWORDS = 4096
"""Largest password file, bytes."""
RECORD_S = 3.0
"""Longest time that the end of the page waits for the service; with open replies it fits into TimeoutStopSec."""
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png"}
What = Literal["began", "ended", "signed_in", "refused", "signed_out"]


class Asset:
    """A file of static/, in memory. ``version`` changes with the content."""

    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        self.type = TYPES[path.suffix]
        self.version = hashlib.sha256(self.content).hexdigest()[:12]


class Site:
    """The page: settings, the service behind it, sessions, templates. ``demo`` lets every visitor in, as the owner.

    ``passwords`` is the file with the hash of each role. It is read again when it has changed.
    """

    def __init__(
        self,
        settings: ServerSettings,
        service: Service,
        passwords: Path,
        clock: Callable[[], float],
        demo: bool = False,
        linger_s: float = LINGER_S,
    ) -> None:
        self.settings, self.service, self.demo = settings, service, demo
        self.sessions, self.logins = Sessions(clock), LoginLimit(clock)
        self.live = Live(service, self.sessions, self.record, linger_s)
        self.hashing = asyncio.Semaphore(1)
        self.assets = {path.name: Asset(path) for path in sorted((FOLDER / "static").iterdir()) if path.suffix in TYPES}
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["local"] = local
        self._templates.globals["asset"] = self._asset
        for name in self._templates.list_templates(["html"]):  # now, and not while the first visitor waits
            self._templates.get_template(name)
        self._passwords, self._read_at, self._hashes = passwords, (0, 0), dict[str, str]()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def secure(self) -> bool:
        """Whether the page uses TLS."""
        return bool(self.settings.certificate)

    @property
    def cookie(self) -> str:
        """Name of the session's cookie. Browsers accept the prefix from encrypted pages alone."""
        return "__Host-fmd" if self.secure else "fmd"

    def hashes(self) -> dict[str, str]:
        """Return role -> password hash; empty if no password has been set."""
        try:
            found = self._passwords.stat()
            if (found.st_mtime_ns, found.st_ino) != self._read_at:
                text = read_regular(self._passwords, MOST_PASSWORDS).decode()
                self._hashes, self._read_at = password.read(text), (found.st_mtime_ns, found.st_ino)
        except FileNotFoundError:
            self._hashes, self._read_at = {}, (0, 0)
        except (OSError, ValueError) as error:  # SettingsError and UnicodeDecodeError among them
            log.error("%s: %s", self._passwords, error)
            self._hashes, self._read_at = {}, (0, 0)
        return self._hashes

    def session_of(self, request: Request) -> Session | None:
        """Return the session of a request, if it is signed in with a password that is still the role's."""
        session = self.sessions.find(request.cookies.get(self.cookie, ""))
        if session is not None and not self.demo and self.hashes().get(session.role) != session.key:
            self.sessions.close(session)
            return None
        return session

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        """Return a page."""
        return self._templates.get_template(template).render(context)

    def part(self, macro: str, shown: object) -> str:
        """Return what a macro of _parts.html makes of its argument: one element of a screen."""
        module: Any = self._templates.get_template("_parts.html").module
        return str(getattr(module, macro)(shown))

    def record(self, what: What, who: str) -> None:
        """Have the service record who watches or signs in; without a service this log has it alone."""
        log.info("%s %s", who, what.replace("_", " "))
        task = asyncio.get_running_loop().create_task(self._record(what, who))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _record(self, what: What, who: str) -> None:
        with suppress(ControlError):
            await self.service.ask(ViewingRequest(what=what, who=who[:200]), DoneReply)

    async def recorded(self) -> None:
        """Wait until the service has recorded what has happened so far."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """End the connections to the service, after what it has yet to record; a service that hangs is left."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.recorded(), RECORD_S)
        self.service.close()

    def _asset(self, name: str) -> str:
        return f"/static/{name}?v={self.assets[name].version}"


@dataclass(frozen=True)
class Visit:
    """One request. ``form`` holds the fields of a POST, each once, without the CSRF token."""

    site: Site
    request: Request
    session: Session
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def query(self) -> Mapping[str, str]:
        """The fields of the address."""
        return self.request.query_params

    async def ask(self, request: Message, reply: type[Expected]) -> Expected:
        """Send a request to the service. Raises ControlError, which the caller may leave to the application."""
        return await self.site.service.ask(request, reply)

    def page(self, template: str, status: int = 200, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
        """Return a template's page. Every template knows path, role, csrf, demo, said and status."""
        said, self.session.said = self.session.said, ""
        known = {"path": self.request.url.path, "role": self.session.role, "csrf": self.session.csrf}
        context = {**known, "demo": self.site.demo, "said": said, "status": status, **more}
        return HTMLResponse(self.site.render(template, context), status, headers)

    @property
    def wants_json(self) -> bool:
        """Whether a script asks, not a form."""
        return "application/json" in self.request.headers.get("accept", "")

    def done(self, words: str, back: str, **more: Any) -> Response:
        """Return the reply to a change: JSON for a script, else the page ``back``, which shows ``words`` once."""
        if self.wants_json:
            return JSONResponse({"words": words, **more})
        self.session.said = words
        return RedirectResponse(back, 303)

    def sign_in(self) -> Response:
        """Return the way to the form of signing in, and from there back to this page."""
        return RedirectResponse(f"/login?next={quote(self.request.url.path)}", 303)


def local(text: str, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return a time (ISO 8601) in this board's time zone; what is no time stays as it is. A filter of templates."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone().strftime(form)
    except (ValueError, OverflowError, OSError):
        return text


def address_of(request: Request) -> str:
    """Return the address of a visitor, without a zone."""
    return request.client.host.partition("%")[0] if request.client else "unknown"

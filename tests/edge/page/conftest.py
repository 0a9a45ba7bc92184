"""Fixtures: a page that runs in a thread of the test, with the real uvicorn server on a real socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from edge.control import Message
from edge.page import password, server
from edge.page.app import make_app
from edge.page.connections import Listener, TimedProtocol, Times
from edge.page.service import Service
from edge.page.sessions import ABSOLUTE_S
from edge.page.settings import ServerSettings
from edge.page.site import Site
from edge.page_messages import ViewingRequest
from tests.edge.page.fake_service import FakeService, serving
from tests.edge.parts import PATIENCE_S, wait_for

OWNER, VIEWER = "correct horse", "look only please"
HASHES: dict[str, str] = {}


@dataclass
class Clock:
    """A clock that a test sets."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


class QuickProtocol(TimedProtocol):
    """The same protocol with short times."""

    times = Times(handshake_s=0.3, header_s=0.3, body_s=0.3, idle_s=1, take_s=0.3)
    tick_s = 0.05


@dataclass
class Page:
    """A running page. ``clock`` is the time of sessions and limits."""

    port: int
    clock: Clock
    site: Site
    service: FakeService
    stack: ExitStack
    server: Listener
    loop: asyncio.AbstractEventLoop
    scheme: str = "http"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def client(self, **options: object) -> httpx.Client:
        """Return a client without a session, which sends the Origin that a page of this board causes."""
        headers = {"origin": self.origin}
        client = httpx.Client(base_url=self.origin, headers=headers, timeout=PATIENCE_S, verify=False, **options)  # type: ignore[arg-type]
        return self.stack.enter_context(client)

    def csrf_of(self, client: httpx.Client) -> str:
        """Return the token of a client's session."""
        session = self.site.sessions.find(client.cookies[self.site.cookie])
        assert session is not None
        return session.csrf

    def requests(self) -> list[Message]:
        """Return what the page asked of the service, without what it has recorded."""
        return [each for each in self.service.asked if not isinstance(each, ViewingRequest)]

    def recorded(self) -> list[tuple[str, str]]:
        """Return what was recorded about those who watch and sign in: what and who."""
        return [(each.what, each.who) for each in self.service.asked if isinstance(each, ViewingRequest)]

    def finish_recording(self) -> None:
        """Wait until the service has recorded all that has happened; the next test would otherwise find it."""
        asyncio.run_coroutine_threadsafe(self.site.recorded(), self.loop).result(PATIENCE_S)

    def signed_in(self, role: str = "owner") -> httpx.Client:
        """Return a client that has signed in; its header x-csrf is that of its session."""
        client = self.client()
        reply = client.post("/login", data={"role": role, "password": OWNER if role == "owner" else VIEWER})
        assert reply.status_code == 303, reply.text
        client.headers["x-csrf"] = self.csrf_of(client)
        return client


def hashes() -> dict[str, str]:
    """Return quick hashes of both passwords: the cost is a test of its own."""
    if not HASHES:
        for role, typed in (("owner", OWNER), ("viewer", VIEWER)):
            HASHES[role] = password.hashed(typed, cost=2, lanes=1)
    return HASHES


@contextmanager
def running(
    folder: Path,
    settings: ServerSettings | None = None,
    demo: bool = False,
    protocol: type[TimedProtocol] = QuickProtocol,
    served: bool = True,
    linger_s: float = 0.1,
) -> Iterator[Page]:
    """Run a page until the end of the block, with a fake service in ``folder`` unless ``served`` is false."""
    (folder / "page.passwords").write_text(password.written(hashes()))
    settings = settings or ServerSettings(address="127.0.0.1")
    clock = Clock()
    sockets = server.listen(settings, port=0)
    with ExitStack() as stack:
        fake = stack.enter_context(serving(folder)) if served else FakeService()
        started: list[tuple[Site, server.Server, asyncio.AbstractEventLoop]] = []
        ready = threading.Event()

        async def run() -> None:
            site = Site(settings, Service(folder), folder / "page.passwords", clock, demo, linger_s)
            context = server.context_of(settings, folder)
            serve = server.Server(make_app(site), context, ready.set, site.live.stop, protocol)
            started.append((site, serve, asyncio.get_running_loop()))
            await serve.serve(sockets)
            await site.close()

        thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
        thread.start()
        assert ready.wait(PATIENCE_S)
        site, serve, loop = started[0]
        scheme = "https" if settings.certificate else "http"
        yield Page(sockets[0].getsockname()[1], clock, site, fake, stack, sockets[0], loop, scheme)
        stack.close()
        serve.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def page_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page for all tests of a module: starting and stopping one takes longer than most tests."""
    with running(tmp_path_factory.mktemp("page")) as page:
        yield page


@pytest.fixture
def page(page_of_module: Page) -> Iterator[Page]:
    """A page with short time limits, passwords for both roles, and a fake service; nobody is signed in."""
    page = page_of_module
    page.clock.now_s += 2 * ABSOLUTE_S
    page.service.reset()
    with ExitStack() as page.stack:
        yield page
    wait_for(lambda: page.server.connections == 0)
    wait_for(lambda: page.site.live.viewers == 0)
    page.finish_recording()

"""Pictures (MJPEG) and state (server-sent events) for those who watch.

The service is asked only while someone watches, at most :data:`PER_S` times a second however many watch. At most
:data:`VIEWERS` sessions see pictures at once, and each stops :data:`PAUSE_S` after its visitor's last interaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Literal

import msgspec
from msgspec.structs import replace
from starlette.responses import StreamingResponse
from starlette.types import Send

from edge.errors import ControlError, FmdError
from edge.page.service import Service
from edge.page.sessions import Session, Sessions
from edge.page_messages import PICTURES_PER_S, LiveReply, LiveRequest, PersonView, PictureReply, PictureRequest

PER_S = float(PICTURES_PER_S)
VIEWERS, STREAMS_EACH, WATCHERS = 2, 4, 16
"""Sessions that see pictures, streams of one session (one per camera), and streams of events over all sessions."""
PAUSE_S = 600.0
"""Pictures stop after this long without interaction."""
LINGER_S = 5.0
"""A viewer who comes back within this time, as by loading the page again, has not gone."""
QUIET_S = 5.0
"""An event is sent at least this often, so that both sides notice when the other has gone."""
IN_STEP_S = 1.0
"""An older picture says nothing about where people are now."""
BOUNDARY = "fmd-picture"
Show = Callable[[LiveReply], bytes]
Record = Callable[[Literal["began", "ended"], str], None]


class FullError(FmdError):
    """As many watch already as may."""


class _Shared:
    """Replies of the service for all who watch the same, asked for at most PER_S times a second."""

    def __init__(self, service: Service, request: PictureRequest) -> None:
        self._service, self._request = service, request
        self._lock = asyncio.Lock()
        self._asked_s = -1 / PER_S
        self._newest = PictureReply(number=0, age_s=0.0, jpeg=b"")
        self.came_s = -IN_STEP_S
        """When the newest picture came."""

    @property
    def camera(self) -> str:
        """Name of the camera."""
        return self._request.camera

    @property
    def people(self) -> tuple[PersonView, ...]:
        """People in the newest picture."""
        return self._newest.people

    async def newest(self) -> PictureReply:
        """Return the newest picture, of number 0 if there is none. Raises ControlError."""
        async with self._lock:
            now_s = asyncio.get_running_loop().time()
            if now_s - self._asked_s >= 0.9 / PER_S:
                self._asked_s = now_s
                known = self._newest.number
                # A service that has started again counts from 1 again.
                request = replace(self._request, after=known)
                reply = await self._service.ask(request, PictureReply)
                if reply.jpeg or reply.number < known:
                    self._newest, self.came_s = reply, now_s
            return self._newest


class Live:
    """Who watches now, and what they see."""

    def __init__(self, service: Service, sessions: Sessions, record: Record, linger_s: float = LINGER_S) -> None:
        self._service, self._sessions, self._record, self._linger_s = service, sessions, record, linger_s
        self._viewers: dict[int, tuple[Session, int]] = {}
        self._stopped = False
        self.watchers = 0
        """Streams of states."""
        self._pictures: dict[tuple[str, bool, bool, int], _Shared] = {}
        self._state_lock = asyncio.Lock()
        self._state_s = 0.0
        self._state: LiveReply | None = None

    @property
    def viewers(self) -> int:
        """Sessions that see pictures, or did until just now."""
        return len(self._viewers)

    @property
    def streams(self) -> int:
        """Streams of pictures."""
        return sum(streams for _, streams in self._viewers.values())

    def stop(self) -> None:
        """End all streams: the page stops."""
        self._stopped = True
        for session, _ in list(self._viewers.values()):
            self._end(session)

    def pictures(self, session: Session, request: PictureRequest) -> StreamingResponse:
        """Return the stream of a camera's pictures. Raises FullError."""
        self._check_room(session)
        return Stream(self._parts(session, request), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")

    def events(self, session: Session, show: Show = msgspec.json.encode) -> StreamingResponse:
        """Return the stream of states, each as ``show`` returns it: one line of JSON. Raises FullError."""
        if self.watchers >= WATCHERS:
            raise FullError("too many pages are open; close one")
        return Stream(self._states(session, show), media_type="text/event-stream")

    async def _parts(self, session: Session, request: PictureRequest) -> AsyncIterator[bytes]:
        """Yield each new picture as a part of a multipart reply."""
        with self._viewing(session):
            shared = self._shared(request)
            sent = 0
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
            yield head
            while self._watching(session):
                try:
                    picture = await shared.newest()
                except ControlError:
                    return
                if picture.jpeg and picture.number != sent:
                    sent = picture.number
                    # With the head of the next part: Chromium shows a picture only when that has come. Without it, each
                    # was 210 ms late at five a second; with it, 10 ms.
                    yield picture.jpeg + b"\r\n" + head
                await asyncio.sleep(1 / PER_S)

    async def _states(self, session: Session, show: Show) -> AsyncIterator[bytes]:
        """Yield the state as events: what ``show`` makes of it, or the kinds stopped and paused."""
        self.watchers += 1
        try:
            sent, sent_s = b"", -QUIET_S
            while self._watching(session):
                state, now_s = await self._shown(show), asyncio.get_running_loop().time()
                if state != sent or now_s - sent_s >= QUIET_S:
                    sent, sent_s = state, now_s
                    yield b"data: " + state + b"\n\n"
                await asyncio.sleep(1 / PER_S)
            if not self._stopped:  # a page that stops may start again: browsers ask until then
                yield b'data: {"kind":"paused"}\n\n'
        finally:
            self.watchers -= 1

    async def _shown(self, show: Show) -> bytes:
        try:
            return show(self._in_step(await self.state()))
        except ControlError as error:
            return msgspec.json.encode({"kind": "stopped", "words": str(error)})

    def _in_step(self, reply: LiveReply) -> LiveReply:
        """Return the state with the people of the pictures that viewers see: boxes of a newer frame are elsewhere."""
        now_s = asyncio.get_running_loop().time()
        pictures = sorted(self._pictures.values(), key=lambda each: each.came_s)
        seen = {each.camera: each.people for each in pictures if now_s - each.came_s < IN_STEP_S}
        cameras = (replace(view, people=seen.get(view.name, view.people)) for view in reply.cameras)
        return replace(reply, cameras=tuple(cameras))

    async def state(self) -> LiveReply:
        """Return the state, at most 1 / PER_S old. Raises ControlError."""
        async with self._state_lock:
            now_s = asyncio.get_running_loop().time()
            if self._state is None or now_s - self._state_s >= 0.9 / PER_S:
                self._state = None  # while fmd does not run, each call asks whether it has started
                self._state = await self._service.ask(LiveRequest(), LiveReply)
                self._state_s = now_s
            return self._state

    def _shared(self, request: PictureRequest) -> _Shared:
        key = request.camera, request.heat, request.boxes, request.width
        if key not in self._pictures:
            if len(self._pictures) >= VIEWERS * STREAMS_EACH * 2:
                self._pictures.clear()
            self._pictures[key] = _Shared(self._service, request)
        return self._pictures[key]

    def _watching(self, session: Session) -> bool:
        return not self._stopped and self._sessions.open_now(session) and self._sessions.idle_s(session) < PAUSE_S

    def _check_room(self, session: Session) -> None:
        _, streams = self._viewers.get(id(session), (session, 0))
        if streams >= STREAMS_EACH:
            raise FullError("this visitor watches in too many windows already; close one")
        if not streams and id(session) not in self._viewers and len(self._viewers) >= VIEWERS:
            raise FullError(f"{VIEWERS} others watch already; try again when one has gone")

    @contextmanager
    def _viewing(self, session: Session) -> Iterator[None]:
        """Count a stream. The first of a session and the end of its last are recorded."""
        self._check_room(session)
        came = id(session) not in self._viewers
        _, streams = self._viewers.get(id(session), (session, 0))
        self._viewers[id(session)] = session, streams + 1
        if came:
            self._record("began", session.who)
        try:
            yield
        finally:
            session, streams = self._viewers[id(session)]
            self._viewers[id(session)] = session, streams - 1
            if streams == 1 and self._stopped:
                self._end(session)
            elif streams == 1:
                asyncio.get_running_loop().call_later(self._linger_s, self._end, session)

    def _end(self, session: Session) -> None:
        if self._viewers.get(id(session), (session, 1))[1] == 0:
            del self._viewers[id(session)]
            self._record("ended", session.who)


class Stream(StreamingResponse):
    """A reply without an end, whose generator is closed at once when the visitor goes."""

    async def stream_response(self, send: Send) -> None:
        """Send what the generator yields."""
        async with aclosing(self.body_iterator):  # type: ignore[type-var]
            await super().stream_response(send)

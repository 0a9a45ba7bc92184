"""A real HTTP client of the web page: signs in, reads state and picture, tests the buzzer. It needs Python alone.

python3 page_client.py http://door.local:8080 PASSWORD
python3 page_client.py http://door.local:8080 PASSWORD SECTION.KEY=VALUE     changes a setting instead
"""

from __future__ import annotations

import http.cookiejar
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import NamedTuple

ANSWER_S = 120.0
"""An emulated board takes many times as long as a Pi."""

BOUNDARY = b"--fmd-picture"
"""Between two pictures of the stream."""


class Visit(NamedTuple):
    """What the page answered: status before signing in, state in words, bytes of a picture, and the test's words."""

    before: int
    state: str
    picture: int
    tested: str


class Browser:
    """A client that keeps cookies and the session's token."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()), _NoRedirects()
        )
        self._csrf = ""

    def ask(self, path: str, fields: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Send a GET, or a POST of ``fields``; return status and body."""
        form = None if fields is None else urllib.parse.urlencode({**fields, "csrf": self._csrf}).encode()
        headers = {"Origin": self._origin, "Accept": "application/json" if fields else "text/html"}
        try:
            with self._opener.open(
                urllib.request.Request(self._origin + path, form, headers), timeout=ANSWER_S
            ) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def sign_in(self, password: str) -> str:
        """Sign in as the owner; return the page. Raises OSError if that fails."""
        status, _ = self.ask("/login", {"role": "owner", "password": password})
        shown, body = self.ask("/")
        found = re.search(r'data-csrf="([\w-]+)"', body.decode())
        if status != 303 or shown != 200 or found is None:
            said = " ".join(re.sub(r"<[^>]*>", " ", body.decode()).split())
            raise OSError(f"signing in gave {status}, the page then {shown}: {said}")
        self._csrf = found[1]
        return body.decode()

    def picture(self) -> bytes:
        """Return the first picture of the stream."""
        request = urllib.request.Request(f"{self._origin}/picture/", headers={"Origin": self._origin})
        with self._opener.open(request, timeout=ANSWER_S) as reply:
            received = b""
            while received.count(BOUNDARY) < 2:
                if not (piece := reply.read1(65536)):
                    raise OSError(f"the stream of pictures ended after {len(received)} bytes")
                received += piece
            return bytes(received.split(BOUNDARY)[1].partition(b"\r\n\r\n")[2])


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow nothing: the status is what counts."""


def visit(origin: str, password: str) -> Visit:
    """Visit a page as its owner. Raises OSError, and ValueError for an answer that is none of the page's."""
    browser = Browser(origin)
    before, _ = browser.ask("/")
    page = browser.sign_in(password)
    word = re.search(r'class="word">([^<]+)<', page)
    picture = browser.picture()
    if word is None or not picture.startswith(b"\xff\xd8"):
        raise ValueError(f"no state or no picture: {page[:200]}")
    status, tested = browser.ask("/test", {"output": "buzzer"})
    words = json.loads(tested)["words"] if status == 200 else f"{status}: {tested.decode()[:200]}"
    return Visit(before, word[1].strip(), len(picture), words)


def change(origin: str, password: str, settings: Sequence[str]) -> str:
    """Change ``SECTION.KEY=VALUE`` as the page's owner; return what the page says. Raises OSError."""
    browser = Browser(origin)
    browser.sign_in(password)
    pairs = (setting.split("=", 1) for setting in settings)
    status, body = browser.ask("/settings", {f"set.{key}": value for key, value in pairs})
    return str(json.loads(body)["words"]) if status == 200 else f"{status}: {body.decode()[:200]}"


def main(origin: str, password: str, *settings: str) -> None:
    """Print what the page answers as JSON."""
    print(json.dumps(change(origin, password, settings) if settings else visit(origin, password)._asdict()))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""``python -m tests.edge.page.fuzz``: send mutated requests to every route of the page, with the real server.

Half of the cases are whole requests with odd values, the others are bytes of a request, mutated anywhere. A finding is
a reply of 500, an error in the log, a reply that breaks HTTP or lacks the headers that every reply has, or a page that
does not answer afterwards.
"""

from __future__ import annotations

import argparse
import logging
import random
import re
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlencode

from edge.page.gate import HEADERS
from edge.page.routes import ROUTES, Row
from tests.edge.page.conftest import OWNER, Page, running
from tests.fuzz.mutate import NUMBERS, TEXTS, of_bytes

FIELDS = (
    *("csrf", "role", "password", "next", "for_s", "until", "output", "confirmed", "set.decide.on_unsure", "reset"),
    *("days", "camera", "content", "set.", "turn", "regions", "ignore", "only", "name"),
)
QUERY = ("heat", "boxes", "width", "period", "screen", "camera", "next", "v", "task")
GOOD = {
    "for_s": "60",
    "until": "18:00",
    "output": "led",
    "set.decide.on_unsure": '"alarm"',
    "password": OWNER,
    "content": "[decide]\n",
    "turn": "90",
    "regions": '{"ignore": [[[0, 0], [1, 0], [1, 1]]], "only": []}',
}
TOKENS = (
    *(b"\r\n", b"\r\n\r\n", b"\n", b": ", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"GET ", b"POST ", b"%00", b"%2e%2e/"),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"0\r\n\r\n",
        b"fffffff\r\n",
    ),
    *(b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"Cookie: fmd=\r\n", b"http://a/"),
)
REPLY_BYTES, REPLY_S = 4096, 2.0
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def request_of(rng: random.Random, row: Row, page: Page, token: str) -> bytes:
    """Return a whole request to a route, as its owner sends it, in which some values are odd."""

    def odd(good: str) -> str:
        return rng.choice((good, good, good, str(rng.choice(NUMBERS)), rng.choice(TEXTS)))

    session = page.site.sessions.find(token)
    fields = {key: odd(GOOD.get(key, "1")) for key in rng.sample(FIELDS, rng.randrange(len(FIELDS)))}
    if session is not None and rng.random() < 0.9:
        fields["csrf"] = session.csrf
    path = re.sub(r"\{.*?\}", lambda found: quote(odd(rng.choice(("", "page.css", "hall")))), row.path)
    query = {
        key: odd("1") for key in rng.sample(("heat", "boxes", "width", "period", "screen", "camera", "next", "v"), 3)
    }
    encoded = urlencode(query, errors="surrogatepass")
    body = urlencode(fields, errors="surrogatepass").encode() if row.method == "POST" else b""
    lines = [f"{row.method} {path}?{encoded} HTTP/1.1", f"Host: 127.0.0.1:{page.port}", f"Origin: {page.origin}"]
    lines += [f"Cookie: fmd={token}", f"Accept: {rng.choice(('text/html', 'application/json'))}", "Connection: close"]
    lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def cases(rng: random.Random, page: Page, token: str) -> Iterator[bytes]:
    """Yield two requests: a whole one, and one that is mutated anywhere."""
    seeds = [request_of(rng, row, page, token) for row in rng.sample(ROUTES, 3)]
    yield seeds[0]
    yield of_bytes(rng, seeds, TOKENS)


def problem_of(page: Page, request: bytes) -> str:
    """Send a request; return what is wrong with the reply, or ""."""
    with socket.create_connection(("127.0.0.1", page.port), REPLY_S) as client:
        reply = b""
        with suppress(OSError):
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            while len(reply) < REPLY_BYTES and (piece := client.recv(REPLY_BYTES)):
                reply += piece
    if not reply:
        return ""
    status = STATUS.match(reply)
    if status is None:
        return f"no reply of HTTP: {reply[:60]!r}"
    if status[1] >= b"500" and status[1] != b"503":
        return f"status {status[1].decode()}"
    # A request that is none is refused before the application sees it.
    if status[1] not in (b"400", b"100") and any(name.lower().encode() not in reply for name in HEADERS):
        return f"status {status[1].decode()} without the headers of every reply"
    return ""


class Errors(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def fuzz(count: int, seed: int, folder: Path) -> tuple[list[str], Counter[str]]:
    """Send ``count`` requests; return the findings, and how often each status came from the good half."""
    rng, errors, findings = random.Random(seed), Errors(), list[str]()
    asked: Counter[str] = Counter()
    logging.getLogger().addHandler(errors)
    try:
        with running(folder) as page:
            token = ""
            for number in range(count // 2):
                if page.site.sessions.find(token) is None:  # one of the requests has signed out
                    page.clock.now_s += 600.0
                    token = str(page.signed_in().cookies["fmd"])
                page.clock.now_s += 1.0
                for request in cases(rng, page, token):
                    found = problem_of(page, request)
                    findings += [f"case {number}: {found}: {request[:500]!r}"] if found else []
                findings += [f"case {number}: logged {line}" for line in errors.lines]
                errors.lines.clear()
            asked.update(type(each).__name__ for each in page.service.asked)
            if page.client().get("/login").status_code != 200:
                findings.append("the page does not answer any more")
    finally:
        logging.getLogger().removeHandler(errors)
    return findings, asked


def main() -> int:
    """Fuzz, print the findings, and return 1 if there are any."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.edge.page.fuzz", description="Send odd requests to the page."
    )
    parser.add_argument("--cases", type=int, default=2000, help="requests (default: 2000)")
    parser.add_argument("--seed", type=int, default=1, help="other seeds give other requests (default: 1)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        findings, asked = fuzz(arguments.cases, arguments.seed, Path(folder))
    print(*findings, sep="\n")
    print(f"{arguments.cases} requests, {len(findings)} findings; they asked of the service: {dict(asked)}")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())

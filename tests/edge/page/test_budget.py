"""What the page costs: memory of its process, bytes and seconds of the first view, age of the pictures."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from edge.page import password
from edge.page.live import BOUNDARY
from edge.page_messages import PictureReply, PictureRequest
from tests.edge.page.conftest import OWNER
from tests.edge.page.fake_service import FakeService, serving
from tests.edge.parts import PATIENCE_S, ROOT, free_port

MEMORY_MB, VIEW_BYTES, VIEW_S, AGE_S = 60, 100_000, 1.0, 0.5
STAMP = struct.Struct(">d")
SCREENS = ("/", "/aim", "/record", "/settings", "/health", "/first")


class StampedService(FakeService):
    """A service whose pictures carry the time at which they were encoded. They are as large as those of a door."""

    def _picture(self, request: PictureRequest) -> PictureReply:
        number = time.monotonic_ns() // 66_666_667
        return PictureReply(number=number, age_s=0.0, jpeg=b"\xff\xd8" + STAMP.pack(time.monotonic()) + bytes(40_000))


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """The real process with a hash of the real cost: its number and its address."""
    folder = tmp_path_factory.mktemp("budget")
    settings, port = folder / "page.toml", free_port()
    settings.write_text(f'address = "127.0.0.1"\nport = {port}\n')
    (folder / "page.passwords").write_text(password.written({"owner": password.hashed(OWNER)}))
    command = [sys.executable, "-m", "edge.commands.main", "page", "--config", str(settings), "--runtime", str(folder)]
    unit = re.findall(r"^Environment=(.*)$", (ROOT / "systemd/fmd-page.service").read_text(), re.MULTILINE)
    environment = {**os.environ, **dict(each.split("=") for each in " ".join(unit).split())}
    with (
        serving(folder, StampedService()),
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process,
    ):
        assert process.stderr is not None
        while line := process.stderr.readline():
            if "answers at" in line:
                break
        try:
            yield process.pid, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def client(process: tuple[int, str]) -> Iterator[httpx.Client]:
    _, origin = process
    with httpx.Client(base_url=origin, headers={"origin": origin}, timeout=PATIENCE_S) as client:
        for _ in range(2):
            assert client.post("/login", data={"password": OWNER}).status_code == 303
        yield client


def test_the_first_view_is_small_and_quick(client: httpx.Client) -> None:
    began_s = time.monotonic()
    page = client.get("/")
    assets = [client.get(path) for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)]
    taken_s = time.monotonic() - began_s
    size = sum(len(reply.content) + len(str(reply.headers)) for reply in (page, *assets))
    print(f"first view: {size} bytes in {len(assets) + 1} replies, {taken_s:.3f} s")
    assert all(reply.status_code == 200 for reply in (page, *assets))
    assert size <= VIEW_BYTES
    assert taken_s <= VIEW_S


def pictures(client: httpx.Client, count: int) -> Iterator[bytes]:
    boundary = f"--{BOUNDARY}\r\n".encode()
    with client.stream("GET", "/picture/") as reply:
        received = b""
        for piece in reply.iter_bytes():
            received += piece
            *parts, received = received.split(boundary)
            for part in filter(None, parts):
                yield part.partition(b"\r\n\r\n")[2]
                count -= 1
            if count <= 0:
                return


def test_pictures_are_young_and_memory_small_with_two_viewers(process: tuple[int, str], client: httpx.Client) -> None:
    ages: list[float] = []
    times: list[float] = []

    def watch() -> None:
        for picture in pictures(client, 10):
            times.append(time.monotonic())
            ages.append(times[-1] - STAMP.unpack_from(picture, 2)[0])

    viewers = [threading.Thread(target=watch) for _ in range(2)]
    for viewer in viewers:
        viewer.start()
    for path in SCREENS:
        assert client.get(path).status_code == 200
    for viewer in viewers:
        viewer.join(PATIENCE_S)
    status = Path(f"/proc/{process[0]}/status").read_text()
    most_mb, now_mb = (int(re.findall(rf"{name}:\s+(\d+) kB", status)[0]) / 1024 for name in ("VmHWM", "VmRSS"))
    print(f"age of {len(ages)} pictures: at most {max(ages):.2f} s; memory {now_mb:.0f} MB, at most {most_mb:.0f} MB")
    assert len(ages) == 20
    assert max(ages) <= AGE_S
    assert max(times) - min(times) >= 9 / 5 * 0.8, "more than five pictures a second"
    assert most_mb <= MEMORY_MB
    assert now_mb <= most_mb - 10, "the memory of a checked password was not returned"

"""One attack per defence of the page, against the real server: with raw sockets where a client library would not do."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from edge import page_messages
from edge.page import connections, gate, limits, live, sessions
from edge.page.routes import FORM_BYTES, ROUTES
from edge.page.settings import ServerSettings
from edge.page_messages import ViewingRequest
from tests.edge.page.conftest import OWNER, Page, running
from tests.edge.page.fake_service import serving
from tests.edge.parts import PATIENCE_S, wait_for

POSTS = [row.path for row in ROUTES if row.method == "POST"]
OWNERS = [(row.method, row.path) for row in ROUTES if row.role == "owner"]
PROTECTED = [(row.method, row.path.replace("{camera:path}", "")) for row in ROUTES if row.role]


def connected(page: Page) -> socket.socket:
    return socket.create_connection(("127.0.0.1", page.port), PATIENCE_S)


def until_closed(client: socket.socket) -> bytes:
    """Return what arrives until the other side closes the connection."""
    received = b""
    try:
        while piece := client.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode()


# Names and origins ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "", "a b", "[::1", "1.2.3", "local"]
)
def test_a_foreign_name_that_points_here_is_refused(page: Page, host: str) -> None:
    with connected(page) as client:
        client.sendall(f"GET /login HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert re.match(rb"HTTP/1.1 (421|400) ", until_closed(client))


def test_the_names_of_this_board_are_answered(tmp_path: Path) -> None:
    with running(tmp_path, ServerSettings(address="127.0.0.1", names=("Door.example.org",))) as page:
        for host in (socket.gethostname(), "door.local", "127.0.0.1:99", "[::1]:8080", "localhost", "door.Example.org"):
            assert page.client().get("/login", headers={"host": host}).status_code == 200, host


def test_a_request_with_two_hosts_is_refused(page: Page) -> None:
    with connected(page) as client:
        client.sendall(head("GET", "/login", "Host: evil.example"))
        assert until_closed(client).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "https://127.0.0.1"])
def test_a_form_on_a_foreign_page_changes_nothing(page: Page, path: str, origin: str | None) -> None:
    client = page.signed_in()
    del client.headers["origin"]
    reply = client.post(path, data={"output": "buzzer"}, headers={"origin": origin} if origin else {})
    assert reply.status_code == 403
    assert page.requests() == []


def test_a_form_in_a_foreign_frame_changes_nothing(page: Page) -> None:
    reply = page.signed_in().post("/arm", headers={"sec-fetch-site": "cross-site"})
    assert reply.status_code == 403


@pytest.mark.parametrize("path", [path for path in POSTS if path != "/login"])
@pytest.mark.parametrize("csrf", ["", "x", "\u00e4"])
def test_a_change_without_the_token_of_the_session_is_refused(page: Page, path: str, csrf: str) -> None:
    client = page.signed_in()
    del client.headers["x-csrf"]
    assert client.post(path, data={"csrf": csrf, "output": "buzzer"}).status_code == 403


def test_the_token_of_another_session_is_refused(page: Page) -> None:
    one, other = page.signed_in(), page.signed_in()
    assert one.post("/arm", headers={"x-csrf": page.csrf_of(other)}).status_code == 403
    assert one.post("/arm").status_code == 303


@pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE", "OPTIONS", "PATCH", "HEAD", "CONNECT"])
def test_other_methods_are_refused(page: Page, method: str) -> None:
    with connected(page) as client:
        client.sendall(head(method, "/", "Connection: close"))
        assert re.match(rb"HTTP/1.1 40[05] ", until_closed(client))


# Signing in and roles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_nothing_is_shown_or_changed_without_signing_in(page: Page, method: str, path: str) -> None:
    reply = page.client().request(method, path)
    assert reply.status_code in (303, 401)
    assert reply.headers.get("location", "/login").startswith("/login")
    assert page.requests() == []


@pytest.mark.parametrize(("method", "path"), OWNERS)
def test_a_viewer_changes_nothing(page: Page, method: str, path: str) -> None:
    client = page.signed_in("viewer")
    assert client.request(method, path).status_code == 403
    assert page.requests() == []


def test_there_is_no_default_password(tmp_path: Path) -> None:
    with running(tmp_path) as page:
        (tmp_path / "page.passwords").unlink()
        for typed in ("", "admin", "fmd", "owner", "raspberry"):
            reply = page.client().post("/login", data={"password": typed})
            assert reply.status_code == 403
            assert "fmd page password" in reply.text


def test_passwords_are_tried_a_few_times_only_even_the_right_one(page: Page) -> None:
    client = page.client()
    codes = [client.post("/login", data={"password": "wrong"}).status_code for _ in range(limits.ADDRESS_TRIES + 1)]
    assert codes == [403] * limits.ADDRESS_TRIES + [429]
    reply = client.post("/login", data={"password": OWNER})
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "60")
    page.clock.now_s += limits.ADDRESS_EVERY_S
    assert client.post("/login", data={"password": OWNER}).status_code == 303


def test_a_session_that_an_attacker_knows_is_not_the_one_after_signing_in(page: Page) -> None:
    client = page.client()
    client.cookies.set("fmd", "known-to-the-attacker")
    client.post("/login", data={"password": OWNER})
    assert all(cookie.value != "known-to-the-attacker" for cookie in client.cookies.jar if cookie.domain)
    assert page.site.sessions.find("known-to-the-attacker") is None


def test_no_script_reads_the_cookie_and_no_foreign_site_makes_a_browser_send_it(page: Page) -> None:
    reply = page.client().post("/login", data={"password": OWNER})
    assert re.fullmatch(r"fmd=[\w-]{43}; HttpOnly; Path=/; SameSite=strict", reply.headers["set-cookie"])


@pytest.mark.parametrize("guess", ["", "x", "a" * 43, "\u00e4" * 43])
def test_a_guessed_cookie_opens_nothing(page: Page, guess: str) -> None:
    reply = page.client().get("/", headers={b"cookie": b"fmd=" + guess.encode()})  # type: ignore[dict-item]
    assert reply.headers["location"].startswith("/login")


def test_a_session_ends_without_interaction_and_in_any_case(page: Page) -> None:
    client = page.signed_in()
    page.clock.now_s += sessions.IDLE_S
    assert client.get("/").status_code == 303
    client = page.signed_in()
    for _ in range(int(sessions.ABSOLUTE_S / sessions.IDLE_S * 2) - 1):
        page.clock.now_s += sessions.IDLE_S / 2
        assert client.get("/").status_code == 200
    page.clock.now_s += sessions.IDLE_S / 2
    assert client.get("/").status_code == 303


def test_a_stolen_cookie_is_worth_nothing_after_signing_out(page: Page) -> None:
    client, thief = page.signed_in(), page.client()
    thief.cookies.set("fmd", client.cookies["fmd"])
    assert thief.get("/").status_code == 200
    client.post("/logout")
    assert thief.get("/").status_code == 303


def test_a_new_password_ends_the_sessions_of_the_old_one(tmp_path: Path) -> None:
    from edge.page import password

    with running(tmp_path) as page:
        client, viewer = page.signed_in(), page.signed_in("viewer")
        file = tmp_path / "page.passwords"
        known = password.read(file.read_text())
        file.unlink()
        file.write_text(password.written({**known, "owner": password.hashed("another horse", cost=2)}))
        assert client.get("/").status_code == 303
        assert viewer.get("/").status_code == 200


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_signing_in_leads_to_no_foreign_page(page: Page, to: str) -> None:
    reply = page.client().post("/login", data={"password": OWNER, "next": to})
    assert reply.headers["location"] == "/"
    assert "evil" not in page.client().get("/login", params={"next": to}).text


# What browsers are told ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/login", "/nothing", "/static/page.css", "/picture/x", "/settings/export"])
@pytest.mark.parametrize("host", [None, "evil.example"])
def test_every_reply_forbids_scripts_of_others_frames_guessing_and_storing(
    page: Page, path: str, host: str | None
) -> None:
    headers = page.client().get(path, headers={"host": host} if host else {}).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert (policy["script-src"], policy["style-src"]) == ("'self'", "'self'")
    assert (policy["frame-ancestors"], policy["base-uri"], policy["form-action"]) == ("'none'", "'none'", "'self'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_no_page_has_code_or_style_of_its_own(page: Page) -> None:
    client = page.signed_in()
    for row in ROUTES:
        if row.page and row.method == "GET":
            text = client.get(row.path).text
            assert re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text) is None, row.path
            assert re.findall(r"""(?:src|href|action)=["']?(?:https?:)?//""", text) == [], row.path


@pytest.mark.parametrize(
    "path", ["/static/../site.py", "/static/..%2fsite.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/"]
)
def test_only_the_files_of_static_are_sent(page: Page, path: str) -> None:
    with connected(page) as client:
        client.sendall(head("GET", path, "Connection: close"))
        assert re.match(rb"HTTP/1.1 (404|303|401) ", until_closed(client))


# Limits --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login", "/arm", "/settings"])
def test_a_large_body_is_refused(page: Page, path: str) -> None:
    client = page.signed_in()
    assert client.post(path, data={"password": "x" * FORM_BYTES}).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(8):
            yield b"x" * (FORM_BYTES // 4)

    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post(path, content=endless(), headers=kind).status_code == 413


def test_forms_of_another_kind_are_refused(page: Page) -> None:
    client = page.signed_in()
    assert client.post("/arm", json={"csrf": "x"}).status_code == 415
    assert client.post("/arm", files={"csrf": b"x"}).status_code == 415
    kind = {"content-type": "application/x-www-form-urlencoded"}
    for content in (b"a=1&a=2", b"&".join(b"f%d=" % n for n in range(9999)), b"\xff\xfe", b"a=%ff"):
        assert client.post("/arm", content=content, headers=kind).status_code == 400, content[:20]


def test_a_large_header_is_refused(page: Page) -> None:
    line = f"X: {'x' * 2 * gate.HEADER_BYTES}"
    with connected(page) as client:
        client.sendall(head("GET", "/login", line, "Connection: close"))
        assert until_closed(client).startswith(b"HTTP/1.1 431 ")
    with connected(page) as client:
        client.sendall(head("GET", "/login")[:-2])
        client.sendall(line.encode())
        assert until_closed(client)[:13] in (b"HTTP/1.1 400 ", b"")


def is_dropped(client: socket.socket) -> bool:
    """Send a byte at a time, each in time; return whether the other side ends the connection."""
    until_s = time.monotonic() + PATIENCE_S
    client.settimeout(0.05)
    while time.monotonic() < until_s:
        try:
            client.sendall(b"a")
            if client.recv(1) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_a_client_that_sends_its_header_slowly_is_disconnected(page: Page) -> None:
    with connected(page) as client:
        client.sendall(b"GET /login HTTP/1.1\r\nX-")
        assert is_dropped(client)


def test_a_client_that_sends_its_body_slowly_is_disconnected(page: Page) -> None:
    with connected(page) as client:
        kind = "Content-Type: application/x-www-form-urlencoded"
        client.sendall(head("POST", "/login", "Origin: http://127.0.0.1", kind, "Content-Length: 100000"))
        assert is_dropped(client)


def test_a_silent_client_is_disconnected(page: Page) -> None:
    with connected(page) as client:
        assert until_closed(client) == b""


@pytest.mark.parametrize("path", ["/picture/?width=1920", "/events"])
def test_a_viewer_who_does_not_read_is_disconnected(page: Page, path: str) -> None:
    signed_in = page.signed_in()
    page.service.board = "x" * 100_000  # so that the kernel's buffers are soon full of states as well
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", page.port))
        client.sendall(head("GET", path, f"Cookie: fmd={signed_in.cookies['fmd']}"))
        wait_for(lambda: page.site.live.viewers == 1 or page.site.live.watchers == 1)
        wait_for(lambda: page.site.live.streams == 0 and page.site.live.watchers == 0)


def test_one_address_has_a_few_connections(page: Page) -> None:
    clients = [connected(page) for _ in range(connections.EACH)]
    wait_for(lambda: page.server.connections >= connections.EACH)
    with connected(page) as one_more:
        one_more.settimeout(PATIENCE_S)
        assert until_closed(one_more) == b""
    for client in clients:
        client.close()
    wait_for(lambda: page.server.connections == 0)
    assert page.client().get("/login").status_code == 200


def test_at_most_two_see_pictures_and_the_third_is_told_why(page: Page) -> None:
    watching = [page.signed_in() for _ in range(live.VIEWERS)]
    streams = [client.send(client.build_request("GET", "/picture/"), stream=True) for client in watching]
    wait_for(lambda: page.site.live.viewers == live.VIEWERS)
    third = page.signed_in()
    reply = third.get("/picture/")
    assert (reply.status_code, "2 others watch" in reply.text) == (503, True)
    assert third.get("/").status_code == 200
    for stream in streams:
        stream.close()


def test_pictures_stop_without_interaction(page: Page) -> None:
    client = page.signed_in()
    with client.stream("GET", "/picture/") as reply:
        pieces = reply.iter_bytes()
        next(pieces)
        page.clock.now_s += live.PAUSE_S
        for _ in pieces:
            pass
    with client.stream("GET", "/events") as events:
        assert list(events.iter_lines()) == ['data: {"kind":"paused"}', ""]
    client.post("/awake")
    with client.stream("GET", "/picture/") as reply:
        assert next(reply.iter_bytes())


def test_a_stream_ends_with_its_session(page: Page) -> None:
    client = page.signed_in()
    with client.stream("GET", "/picture/") as reply:
        pieces = reply.iter_bytes()
        next(pieces)
        page.signed_in().get("/")
        other = page.client()
        other.cookies.set("fmd", client.cookies["fmd"])
        other.post("/logout", headers={"x-csrf": client.headers["x-csrf"]})
        for _ in pieces:
            pass


def test_viewing_is_recorded_when_it_begins_and_ends(page: Page) -> None:
    client = page.signed_in("viewer")
    with client.stream("GET", "/picture/") as reply:
        next(reply.iter_bytes())
        wait_for(lambda: ("began", "viewer, 127.0.0.1") in page.recorded())
    wait_for(lambda: ("ended", "viewer, 127.0.0.1") in page.recorded())


def test_the_end_of_viewing_is_recorded_before_the_page_ends(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        with (
            running(tmp_path, served=False, linger_s=600.0) as page,
            page.signed_in("viewer").stream("GET", "/picture/") as reply,
        ):
            next(reply.iter_bytes())
        assert "ended" in [each.what for each in service.asked if isinstance(each, ViewingRequest)]


def test_every_change_names_who_asked(page: Page) -> None:
    client = page.signed_in()
    changes: dict[str, dict[str, str]] = {
        "/arm": {},
        "/disarm": {"for_s": "60"},
        "/mute": {"for_s": "60"},
        "/faces": {"for_s": "60"},
        "/test": {"output": "led"},
        "/settings": {"set.decide.on_unsure": '"alarm"'},
        "/settings/import": {"content": "[decide]\n"},
    }
    for path, fields in changes.items():
        page.service.asked.clear()
        assert client.post(path, data=fields).status_code == 303, path
        assert getattr(page.requests()[-1], "who", None) == "owner, 127.0.0.1", path


def test_what_the_service_refuses_to_read_is_refused_by_the_page(page: Page) -> None:
    client = page.signed_in()
    for path, fields in (
        ("/test", {"output": "all"}),
        ("/mute", {"for_s": "nan"}),
        ("/mute", {"for_s": "1e99"}),
        ("/disarm", {"until": "25:00"}),
        ("/settings", {"set.x": "y" * 5000}),
        ("/rotate", {"turn": "45"}),
        ("/regions", {"regions": "[" * 9999}),
    ):
        assert client.post(path, data=fields).status_code == 400, fields
    assert {type(each) for each in page.requests()} <= {page_messages.LiveRequest}


# TLS -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    from edge.commands import page_certificate

    page_certificate.make(folder / "page.toml", [])
    return folder


@pytest.fixture
def encrypted(tmp_path: Path, certificate: Path) -> Iterator[Page]:
    for file in certificate.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = ServerSettings(address="127.0.0.1", certificate="page-certificate.pem", key="page-key.pem")
    with running(tmp_path, settings) as page:
        yield page


def test_the_generated_certificate_is_for_this_board_and_its_cookie_is_for_tls_alone(
    encrypted: Page, certificate: Path
) -> None:
    context = ssl.create_default_context(cafile=certificate / "page-certificate.pem")
    with httpx.Client(base_url=encrypted.origin, verify=context, headers={"origin": encrypted.origin}) as client:
        reply = client.post("/login", data={"password": OWNER})
    assert re.fullmatch(r"__Host-fmd=[\w-]{43}; HttpOnly; Path=/; SameSite=strict; Secure", reply.headers["set-cookie"])


def test_a_client_that_does_not_finish_its_handshake_is_disconnected(encrypted: Page) -> None:
    with connected(encrypted) as client:
        client.sendall(b"\x16\x03\x01")
        assert until_closed(client) == b""
    with connected(encrypted) as client:
        client.sendall(head("GET", "/"))
        until_closed(client)
    assert encrypted.client().get("/login").status_code == 200


def test_old_tls_is_refused(encrypted: Page) -> None:
    done = subprocess.run(
        ["openssl", "s_client", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-connect", f"127.0.0.1:{encrypted.port}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode != 0

"""Pages, forms and scripts of the page with the real server, against a stand-in of the service."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from edge import page_messages
from edge.control import RefusedReply
from edge.messages import ArmingMessage
from edge.page.routes import ROUTES
from edge.page.sessions import IDLE_S
from tests.edge.page.conftest import OWNER, Page, running
from tests.edge.page.fake_service import NAME, serving
from tests.edge.parts import wait_for
from tests.machine import page_client

SCREENS = [row.path for row in ROUTES if row.page and row.method == "GET" and row.path != "/login"]


@pytest.mark.parametrize("role", ["owner", "viewer"])
def test_every_screen_is_shown_to_who_is_signed_in(page: Page, role: str) -> None:
    client = page.signed_in(role)
    for path in SCREENS:
        reply = client.get(path)
        assert (path, reply.status_code) == (path, 200)
        assert reply.headers["content-type"].startswith("text/html")
        assert NAME not in reply.text, "a name is not escaped"


def test_a_form_changes_the_service_and_leads_back_to_a_page_that_says_so_once(page: Page) -> None:
    client = page.signed_in()
    client.headers.pop("x-csrf")
    reply = client.post("/test", data={"csrf": page.csrf_of(client), "output": "buzzer"})
    assert (reply.status_code, reply.headers["location"]) == (303, "/health")
    assert page_messages.TestOutputRequest(output="buzzer", who="owner, 127.0.0.1") in page.service.asked
    assert "The buzzer was on for a second." in client.get("/health").text
    assert "The buzzer was on for a second." not in client.get("/health").text


def test_a_viewer_gets_no_form_that_changes_anything(page: Page) -> None:
    client = page.signed_in("viewer")
    for path in (*SCREENS, *(f"/first?step={step}" for step in range(1, 6)), "/health?checks=1"):
        actions = set(re.findall(r'<form[^>]* action="([^"]*)"', client.get(path).text))
        assert actions == {"/logout"}, path


def test_a_script_gets_json(page: Page) -> None:
    client = page.signed_in()
    reply = client.post("/mute", data={"for_s": "600"}, headers={"accept": "application/json"})
    assert "muted until" in reply.json()["words"]


def test_signing_in_and_out_is_recorded_with_role_and_address(page: Page) -> None:
    client = page.signed_in()
    client.post("/logout")
    client.post("/login", data={"role": "viewer", "password": "wrong"})
    wait_for(lambda: len(page.recorded()) == 3)
    assert sorted(page.recorded()) == [
        ("refused", "viewer, 127.0.0.1"),
        ("signed_in", "owner, 127.0.0.1"),
        ("signed_out", "owner, 127.0.0.1"),
    ]


def test_the_page_shows_what_the_service_refuses(page: Page) -> None:
    client = page.signed_in()
    page.service.refusal = "the settings are being read"
    reply = client.get("/")
    assert (reply.status_code, "the settings are being read" in reply.text) == (409, True)


def test_the_page_says_that_fmd_does_not_run_and_recovers(tmp_path: Path) -> None:
    with running(tmp_path, served=False) as page:
        client = page.signed_in()
        for _ in range(2):
            reply = client.get("/")
            assert (reply.status_code, reply.headers["refresh"]) == (503, "5")
            assert "fmd does not run" in reply.text
            with serving(tmp_path):
                assert client.get("/").status_code == 200


def test_events_are_the_parts_of_a_screen_that_changed(page: Page) -> None:
    client = page.signed_in()
    with client.stream("GET", "/events?screen=live") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = (json.loads(line.removeprefix("data: ")) for line in reply.iter_lines() if line)
        first = next(lines)["parts"]
        page.service.arming = ArmingMessage(armed=False, source="command", by="<b>me")
        second = next(each["parts"] for each in lines if "arming" in each["parts"])
    assert "Alarm" in first["state"]
    assert first.keys() == {"state", "arming", "faces", "decisions", "facts", "drawing", "people"}
    assert "Disarmed by &lt;b&gt;me." in second["arming"]
    assert "state" not in second


def test_a_client_with_python_alone_reads_state_and_picture(page: Page) -> None:
    visit = page_client.visit(page.origin, OWNER)
    assert (visit.state, visit.tested) == ("Alarm", "The buzzer was on for a second.")
    assert visit.picture > 1000


def test_boxes_are_those_of_the_picture_that_is_shown(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    client = page.signed_in()
    (walking,) = (msgspec.structs.replace(each, id=77) for each in page.service.cameras[0].people[:1])
    picture = page_messages.PictureReply(number=1, age_s=0.1, jpeg=b"\xff\xd8\xff", people=(walking,))
    monkeypatch.setitem(page.service.answers, page_messages.PictureRequest, lambda request: picture)
    with client.stream("GET", "/picture/") as pictures, client.stream("GET", "/events?screen=live") as events:
        stream = pictures.iter_bytes()  # kept: without it, the stream would end here
        while b"\xff\xd8" not in next(stream):
            pass
        lines = (json.loads(line.removeprefix("data: ")) for line in events.iter_lines() if line)
        shown = (each["parts"].get("people", "") for each in islice(lines, 10))  # the first may be of an older picture
        assert any("Person 77<" in people and "Person 1<" not in people for people in shown)


def test_a_screen_that_loads_itself_again_keeps_no_session(page: Page) -> None:
    client = page.signed_in()
    for _ in range(2):
        page.clock.now_s += IDLE_S * 0.6
        reply = client.get("/?again=1")
    assert (reply.status_code, reply.headers["location"]) == (303, "/login?next=/")


def test_pictures_are_a_stream_of_jpegs_each_with_the_head_of_the_next(page: Page) -> None:
    client = page.signed_in()
    head = b"--fmd-picture\r\nContent-Type: image/jpeg\r\n\r\n"
    with client.stream("GET", "/picture/?width=320") as reply:
        assert reply.headers["content-type"] == "multipart/x-mixed-replace; boundary=fmd-picture"
        received = b""
        for piece in reply.iter_bytes():
            received += piece
            if received.count(head) == 3:
                break
    nothing, *pictures, rest = received.split(head)
    assert (nothing, rest) == (b"", b"")
    assert all(each.startswith(b"\xff\xd8\xff") and each.endswith(b"\xff\xd9\r\n") for each in pictures)


def test_without_a_record_the_other_parts_of_its_screen_stay(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    client = page.signed_in()
    refused = RefusedReply(reason="fmd keeps no record")
    monkeypatch.setitem(page.service.answers, page_messages.ReportRequest, lambda request: refused)
    reply = client.get("/record")
    assert (reply.status_code, "fmd keeps no record" in reply.text) == (200, True)
    assert "data-tune" not in reply.text


def test_a_picture_that_is_upside_down_is_offered_a_turn(page: Page) -> None:
    client = page.signed_in()
    page.service.cameras = (msgspec.structs.replace(page.service.cameras[0], turn=180),)
    shown = client.get("/aim").text
    assert "Turn it by 180 degrees." in shown
    assert '<option value="180" selected>' in shown
    assert client.post("/rotate", data={"camera": "", "rotate": "180"}).headers["location"] == "/aim"
    assert page.service.asked[-1] == page_messages.ChangeRequest(
        changes={"camera.rotate": "180"}, who="owner, 127.0.0.1"
    )


def test_what_was_typed_stays_with_its_error(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    client = page.signed_in()
    reply = page_messages.ChangeReply(
        applied=False, words="No.", errors={"decide.error_rate": "too <large>", "": "why"}
    )
    monkeypatch.setitem(page.service.answers, page_messages.ChangeRequest, lambda request: reply)
    shown = client.post("/settings", data={"set.decide.error_rate": "12345"})
    assert shown.status_code == 422
    assert "too &lt;large&gt;" in shown.text
    assert 'value="12345"' in shown.text
    assert "No. Marked below: decide.error_rate. why" in shown.text
    assert '<details class="card" id="decide" open>' in shown.text


def test_a_backup_of_several_pieces_arrives_whole(page: Page) -> None:
    reply = page.signed_in().get("/backup")
    assert reply.content == b"backup " * 20_000
    assert reply.headers["content-disposition"] == 'attachment; filename="fmd-backup.tar.gz"'


def test_a_model_file_goes_to_the_service_in_pieces(page: Page) -> None:
    content = bytes(range(256)) * 600
    reply = page.signed_in().post("/model?name=mask.tflite", content=content, headers={"accept": "application/json"})
    assert reply.status_code == 200, reply.text
    pieces = [each.piece for each in page.service.asked if isinstance(each, page_messages.UploadRequest)]
    assert b"".join(pieces) == content


def test_the_demo_lets_everyone_in_as_the_owner(tmp_path: Path) -> None:
    with running(tmp_path, demo=True) as page:
        client = page.client()
        assert client.get("/").status_code == 200
        assert client.post("/arm", data={"csrf": page.csrf_of(client)}).status_code == 303


def test_the_password_may_be_that_of_the_wrong_role_and_is_refused(page: Page) -> None:
    client = page.client()
    assert client.post("/login", data={"role": "viewer", "password": OWNER}).status_code == 403

"""Showing faces: allowed by a setting, for ten minutes at most, shown at the door, recorded."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edge.contracts import Signal
from edge.control import DoneReply
from edge.errors import ControlError
from edge.page_messages import LiveReply, LiveRequest, PictureReply, PictureRequest, ShowFacesRequest
from tests.edge.page_service.parts import Door, PageClient, decoded, served, settings, with_faces
from tests.edge.page_service.test_pictures import cut, unlike


def ask(folder: Path, for_s: float = 600.0, who: str = "owner, 192.0.2.7") -> None:
    with PageClient(folder) as client:
        client.ask(ShowFacesRequest(for_s=for_s, who=who), DoneReply)


def face_is_shown(folder: Path, door: Door) -> bool:
    """Return whether the picture that the page gets shows the face."""
    door.tick(0.3)
    door.show(with_faces())
    with PageClient(folder) as client:
        picture = decoded(client.ask(PictureRequest(), PictureReply).jpeg)
    box, step = with_faces().tracks[0].box, with_faces()
    return unlike(cut(picture, box), cut(step.frame.image, box)) < 6


def test_without_the_setting_it_is_refused(tmp_path: Path) -> None:
    with served(tmp_path) as door:
        with pytest.raises(ControlError, match=r"page\.show_faces is false"):
            ask(tmp_path)
        ask(tmp_path, for_s=0.0)
        assert not face_is_shown(tmp_path, door)
        assert door.events == []


def test_it_ends_by_itself_and_the_led_shows_it_meanwhile(tmp_path: Path) -> None:
    with served(tmp_path, page__show_faces=True) as door:
        assert not face_is_shown(tmp_path, door)
        door.alert.renew(Signal.RUNNING, door.clock.now_s)
        ask(tmp_path)
        assert face_is_shown(tmp_path, door)
        with PageClient(tmp_path) as client:
            reply = client.ask(LiveRequest(), LiveReply)
        assert (reply.faces_allowed, bool(reply.faces_until)) == (True, True)
        for _ in range(40):
            door.alert.renew(Signal.RUNNING, door.clock.now_s)
            door.tick(0.05)
        assert len(door.outputs["led"].states) > 4, "it flashes"
        door.tick(600.0)
        assert not face_is_shown(tmp_path, door)
    ((kind, event),) = door.events
    assert (kind, event["by"]) == ("faces", "owner, 192.0.2.7")
    assert event["until"]


def test_it_can_be_ended_and_a_reload_without_the_setting_ends_it(tmp_path: Path) -> None:
    allowed = settings(camera__source="doorway", page__show_faces=True)
    with served(tmp_path, page__show_faces=True) as door:
        ask(tmp_path)
        door.listener.on_settings(allowed)
        assert face_is_shown(tmp_path, door), "a reload does not end it"
        ask(tmp_path, for_s=0.0)
        assert not face_is_shown(tmp_path, door)
        ask(tmp_path)
        door.listener.on_settings(settings(camera__source="doorway"))
        assert not face_is_shown(tmp_path, door)
        door.listener.on_settings(allowed)
        assert not face_is_shown(tmp_path, door), "nobody has asked again"
    assert [bool(event["until"]) for _, event in door.events] == [True, False, True, False]


def test_without_an_led_that_shows_it_faces_stay_blurred(tmp_path: Path) -> None:
    with served(tmp_path, page__show_faces=True, alert__led_faces=[]) as door:
        with pytest.raises(ControlError, match="has no LED that shows it"):
            ask(tmp_path)
        assert not face_is_shown(tmp_path, door)
        assert door.events == []


@pytest.mark.parametrize("for_s", [600.1, -1.0, float("nan"), float("inf")])
def test_a_longer_time_is_no_request(for_s: float) -> None:
    content = msgspec.msgpack.encode({"kind": "show_faces", "for_s": for_s})
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(content, type=ShowFacesRequest)

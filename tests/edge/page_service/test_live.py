"""What the page shows of the door: state, people with their evidence, recent decisions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.contracts import Box, CameraState, Health
from edge.page_messages import DECISIONS_KEPT, LiveReply, LiveRequest
from edge.page_service.live import LiveView, people, share
from tests.edge.page_service.parts import LIVE, Clock, PageClient, scene, served, settings, with_faces


def asked(folder: Path) -> LiveReply:
    with PageClient(folder) as client:
        return client.ask(LiveRequest(), LiveReply)


def test_before_the_first_picture_there_is_a_camera_without_one(tmp_path: Path) -> None:
    with served(tmp_path, watch__ignore=[[[0, 0], [0.5, 0], [0.5, 0.5]]], camera__rotate=180):
        reply = asked(tmp_path)
    (camera,) = reply.cameras
    assert (camera.picture, camera.age_s, camera.per_s, camera.people, camera.hints) == (0, None, 0.0, (), ())
    assert camera.ignore == (((0, 0), (0.5, 0), (0.5, 0.5)),)
    assert (camera.rotate, camera.turn, camera.heat) == (180, None, False)
    assert (reply.state, reply.version, reply.models) == ("off", "1.2.3", ("classifier stub", "detector stub"))
    assert (reply.faces_until, reply.faces_allowed, reply.arming.armed) == ("", False, True)


def test_the_scene_shows_a_person_whose_evidence_grows_to_the_alarm(tmp_path: Path) -> None:
    found = []
    with served(tmp_path) as door:
        for step in scene():
            door.show(step)
            found += people(step)
        reply = asked(tmp_path)
    (camera,) = reply.cameras
    assert (camera.picture, camera.width, camera.height) == (len(scene()), 640, 480)
    assert reply.state == camera.state == "no_mask"
    (person,) = camera.people
    assert (person.outcome, person.words, person.violated, person.evidence) == ("violation", "no mask", True, 1.0)
    assert 40 < person.face_px < 200
    evidence = [each.evidence for each in found if each.id == person.id]
    assert evidence[0] < 0.5 < evidence[-1] == 1.0
    assert evidence.index(1.0) == [each.outcome for each in found if each.id == person.id].index("violation")
    xmin, ymin, xmax, ymax = person.box
    assert 0 <= xmin < xmax <= 1
    assert 0 <= ymin < ymax <= 1
    (decision,) = reply.decisions
    assert (decision.words, decision.change, decision.alarm) == ("no mask", "decided", True)


def test_only_the_newest_decisions_are_kept_the_newest_first(tmp_path: Path) -> None:
    decision = next(each for step in scene() for each in step.decisions)
    with served(tmp_path) as door:
        for number in range(DECISIONS_KEPT + 5):
            door.listener.on_decision(replace(decision, camera=str(number)))
        cameras = [each.camera for each in asked(tmp_path).decisions]
    assert cameras == [str(number) for number in range(DECISIONS_KEPT + 4, 4, -1)]


def test_a_blind_camera_and_its_reason_are_shown(tmp_path: Path) -> None:
    with served(tmp_path) as door:
        door.show(with_faces())
        door.listener.on_health(Health("", CameraState.LOST, 1.0, "unplugged"))
        (camera,) = asked(tmp_path).cameras
    assert camera.state == "blind"
    assert camera.health is not None
    assert (camera.health.state, camera.health.reason) == ("lost", "unplugged")
    assert camera.hints == ("No picture: unplugged.",)


def test_hints_of_a_run_are_sentences_for_the_page(tmp_path: Path) -> None:
    with served(tmp_path) as door:
        door.show(with_faces())
        door.listener.on_health(Health("", CameraState.STREAMING, 1.0, slow="this board is too slow"))
        door.listener.on_hint("", "turn", "faces are upside down; set camera.rotate = 180")
        door.listener.on_hint("", "size", "")
        (camera,) = asked(tmp_path).cameras
    assert camera.hints == ("Faces are upside down; set camera.rotate = 180.", "This board is too slow.")


def test_age_and_rate_follow_the_pictures() -> None:
    clock = Clock(0.0)
    view = LiveView(clock, lambda: 0.0, lambda settings: ())
    view.on_settings(settings())
    step = with_faces()
    for number in range(50):
        clock.now_s = number / 15 + 0.02
        view.on_step(replace(step, frame=replace(step.frame, captured_s=number / 15)), LIVE)
    steps = view.steps_of("")
    assert steps is not None
    assert steps.newest is not None
    assert steps.per_s == pytest.approx(15.0)
    clock.now_s += 0.5
    assert view.age_s(steps.newest) == pytest.approx(0.52)


def test_a_reload_forgets_pictures_and_goes_on_counting() -> None:
    view = LiveView(Clock(), lambda: 0.0, lambda settings: ())
    for expected in (1, 2):
        view.on_settings(settings())
        steps = view.steps_of("")
        assert steps is not None
        assert steps.newest is None
        view.on_step(with_faces(), LIVE)
        assert steps.newest is not None
        assert steps.newest.number == expected  # type: ignore[unreachable]
    assert view.steps_of("hall") is None


def test_each_of_several_cameras_has_its_own_state(tmp_path: Path) -> None:
    with served(tmp_path, camera__sources={"hall": "/dev/video0", "yard": "/dev/video2"}) as door:
        door.show(replace(with_faces(), camera="yard"))
        reply = asked(tmp_path)
    assert [(camera.name, camera.picture) for camera in reply.cameras] == [("hall", 0), ("yard", 1)]


def test_a_box_beyond_the_picture_is_cut_to_it() -> None:
    assert share(Box(-10, 20, 50, 500), 100, 200) == (0.0, 0.1, 0.5, 1.0)

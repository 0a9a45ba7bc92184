"""Pictures for the page: blurred, limited in number, never one that the detector has not inspected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.contracts import Box, Heat, Image, Observation, Outcome, Step
from edge.page_messages import PICTURES_PER_S, PictureReply, PictureRequest
from edge.page_service.live import LiveView
from edge.page_service.pictures import Pictures, reduced
from edge.reporting.annotate import COLOURS, Outlines
from tests.edge.page_service.parts import LIVE, Clock, decoded, not_inspected, settings, with_faces

TURN_S = 1 / PICTURES_PER_S + 0.001


class Viewer:
    """Pictures of one camera on a clock that the test moves."""

    def __init__(self, outlines: Outlines = ((), ())) -> None:
        self.clock, self.faces = Clock(), False
        self.view = LiveView(self.clock, lambda: 0.0, lambda settings: ())
        self.view.on_settings(settings())
        self.pictures = Pictures(self.view, lambda: self.faces, lambda camera: outlines, self.clock)

    def show(self, step: Step) -> None:
        self.view.on_step(replace(step, frame=replace(step.frame, captured_s=self.clock.now_s)), LIVE)

    def ask(self, after_s: float = TURN_S, **asked: object) -> PictureReply:
        self.clock.now_s += after_s
        return self.pictures.reply(PictureRequest(**asked))  # type: ignore[arg-type]


def cut(picture: Image, box: Box) -> Image:
    xmin, ymin, xmax, ymax = (int(value) for value in box)
    return picture[ymin:ymax, xmin:xmax]


def unlike(one: Image, other: Image) -> float:
    """Return the mean difference of two pictures, 0 to 255."""
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean())


def test_a_face_is_blurred_and_the_rest_is_not() -> None:
    viewer, step = Viewer(), with_faces()
    viewer.show(step)
    picture, box = decoded(viewer.ask().jpeg), step.tracks[0].box
    assert picture.shape == step.frame.image.shape
    assert unlike(cut(picture, box), cut(step.frame.image, box)) > 15
    corner = Box(0, 0, 100, 100)
    assert unlike(cut(picture, corner), cut(step.frame.image, corner)) < 6
    viewer.faces = True
    shown = decoded(viewer.ask().jpeg)
    assert unlike(cut(shown, box), cut(step.frame.image, box)) < 6
    viewer.faces = False
    assert unlike(cut(decoded(viewer.ask().jpeg), box), cut(step.frame.image, box)) > 15, "at once"


@pytest.mark.parametrize("width", [64, 320, 1920])
def test_the_width_is_at_most_the_requested_one(width: int) -> None:
    viewer = Viewer()
    viewer.show(with_faces())
    reply = viewer.ask(width=width)
    assert decoded(reply.jpeg).shape[1] == min(640, width)
    assert [person.words for person in reply.people] == ["no mask"]


def test_a_frame_that_was_not_inspected_is_sent_only_if_the_view_has_not_changed() -> None:
    """A person who has just come in is in no list of faces yet, and must not be sent unblurred."""
    viewer, step = Viewer(), with_faces()
    viewer.show(step)
    assert viewer.ask().number == 1
    changed = step.frame.image.copy()
    changed[100:300, 20:180] = step.frame.image[100:300, 250:410]
    viewer.show(not_inspected(step, changed))
    assert viewer.ask(after=1).jpeg == b""
    assert viewer.ask().number == 1
    noisy = np.clip(
        step.frame.image.astype(np.int16) + np.random.default_rng(1).integers(-3, 4, step.frame.image.shape), 0, 255
    )
    viewer.show(not_inspected(step, noisy.astype(np.uint8)))
    reply = viewer.ask(after=1)
    assert reply.number == 3
    box = step.tracks[0].box
    assert unlike(cut(decoded(reply.jpeg), box), cut(step.frame.image, box)) > 15, "the known face is blurred in it too"


def test_without_an_inspected_frame_there_is_no_picture() -> None:
    viewer = Viewer()
    assert viewer.ask().jpeg == b""
    viewer.show(not_inspected(with_faces()))
    assert viewer.ask().jpeg == b""
    assert viewer.ask(camera="hall").jpeg == b""


def test_at_most_five_pictures_a_second_are_encoded_however_often_they_are_asked_for() -> None:
    viewer, numbers = Viewer(), []
    for _ in range(100):
        viewer.show(with_faces())
        reply = viewer.ask(after_s=0.01, after=numbers[-1] if numbers else 0)
        if reply.jpeg:
            numbers.append(reply.number)
    assert len(numbers) == PICTURES_PER_S
    assert numbers == sorted(set(numbers))


def test_viewers_of_one_picture_share_it_and_viewers_of_two_take_turns() -> None:
    viewer, got = Viewer(), {320: 0, 640: 0}
    last = dict.fromkeys(got, 0)
    for _ in range(200):
        viewer.show(with_faces())
        for width in got:
            reply = viewer.ask(after_s=0.005, width=width, after=last[width])
            if reply.jpeg:
                got[width], last[width] = got[width] + 1, reply.number
    assert got == {320: 5, 640: 5}
    first, second = viewer.ask(width=64, after_s=2.0), viewer.ask(width=64, after_s=0.0)
    assert first.jpeg == second.jpeg != b""


def test_the_age_is_that_of_the_picture() -> None:
    viewer = Viewer()
    viewer.show(with_faces())
    assert viewer.ask(after_s=0.25).age_s == pytest.approx(0.25)
    assert viewer.ask(after_s=0.5).age_s == pytest.approx(0.75)


def test_outlines_of_people_and_regions_are_drawn_on_request() -> None:
    viewer, step = Viewer(((((0.0, 0.0), (0.2, 0.0), (0.2, 0.2)),), ())), with_faces()
    viewer.show(step)
    plain, drawn = decoded(viewer.ask().jpeg), decoded(viewer.ask(boxes=True).jpeg)
    xmin, ymin, xmax, _ = (round(value) for value in step.tracks[0].box)
    line = drawn[ymin, xmin + 5 : xmax - 5].astype(int).mean(axis=0)
    assert np.abs(line - COLOURS[Outcome.VIOLATION]).max() < 60
    assert unlike(plain[:60, :60], drawn[:60, :60]) > 2, "the region to ignore is hatched"


def test_a_heat_map_is_drawn_where_the_person_is_now() -> None:
    viewer, step = Viewer(), with_faces()
    track = step.tracks[0]
    heat = Heat(track.box, np.ones((3, 3), np.float32))
    observation = Observation({"without_mask": 1.0}, 1.0, 0.0, heat)
    viewer.show(replace(step, observations={track.id: observation}))
    moved = replace_box(step, 100.0)
    viewer.show(replace(moved, observations={}))
    plain, drawn = decoded(viewer.ask().jpeg), decoded(viewer.ask(heat=True).jpeg)
    there = cut(drawn, moved.tracks[0].box).astype(int).mean(axis=(0, 1)) - cut(plain, moved.tracks[0].box).mean(
        axis=(0, 1)
    )
    assert there[0] - there[2] > 20, "red is added"
    viewer.clock.now_s += 5.0
    viewer.show(replace(moved, observations={}))
    assert unlike(decoded(viewer.ask(heat=True).jpeg), decoded(viewer.ask().jpeg)) < 1, "it is old"


def replace_box(step: Step, by_px: float) -> Step:
    """Return a step in which the first person is further left."""
    import msgspec

    track = step.tracks[0]
    box = Box(track.box.xmin - by_px, track.box.ymin, track.box.xmax - by_px, track.box.ymax)
    return replace(step, tracks=(msgspec.structs.replace(track, box=box),), faces=())


def test_memory_in_reverse_order_gives_the_same_picture() -> None:
    image = with_faces().frame.image
    backwards = np.ascontiguousarray(image[:, :, ::-1])[:, :, ::-1]
    for width in (640, 320):
        one, scale = reduced(backwards, width)
        assert np.array_equal(one, reduced(image, width)[0])
        assert scale == width / 640
        assert not np.shares_memory(one, backwards)

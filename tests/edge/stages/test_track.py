"""The tracker with simulated time: one call per tick, with faces where the people are."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from edge import config
from edge.config import Settings
from edge.contracts import Box, Face, Track
from edge.stages.track import Tracker
from tests.edge.parts import face

TICK_S = 0.1


class Clock:
    """A tracker and its ticks."""

    def __init__(self, settings: Settings) -> None:
        self._tracker = Tracker(settings.track, settings.detect)
        self.now_s = 0.0

    def tick(self, *faces: Face, after_s: float = TICK_S) -> tuple[Track, ...]:
        self.now_s += after_s
        return self._tracker.update(faces, self.now_s)

    def wait(self, seconds: float) -> None:
        """Let frames pass in which the detector did not run."""
        for _ in range(round(seconds / TICK_S)):
            self.now_s += TICK_S
            self._tracker.expected(self.now_s)


@pytest.fixture
def clock(settings: Settings) -> Clock:
    return Clock(settings)


def tracker_of(**limits: int) -> Clock:
    return Clock(config.load(None, {f"detect.{key}": value for key, value in limits.items()}))


def ids(tracks: Sequence[Track]) -> list[int]:
    return [track.id for track in tracks]


def test_a_walking_person_stays_one_person(clock: Clock) -> None:
    for x in range(100, 400, 20):
        (track,) = clock.tick(face(x))
        assert track.id == 1
        assert track.missed == 0
    assert track.entered_s == pytest.approx(TICK_S)
    assert track.seen_s == clock.now_s


def test_a_person_who_stops_dead_stays_one_person(clock: Clock) -> None:
    for x in (100, 140, 180, 220):
        clock.tick(face(x))
    # At that speed the next face, three ticks later, would be expected at 340: more than a reach away.
    assert ids(clock.tick(face(225), after_s=3 * TICK_S)) == [1]


def test_two_people_who_cross_keep_their_ids(clock: Clock) -> None:
    for step in range(21):
        left, right = 100 + 10 * step, 300 - 10 * step
        tracks = {t.id: t for t in clock.tick(face(left, y=95), face(right, y=105))}
    assert tracks[1].box.centre[0] == pytest.approx(300)
    assert tracks[2].box.centre[0] == pytest.approx(100)


def test_faces_in_another_order_are_the_same_people(clock: Clock) -> None:
    clock.tick(face(100), face(300))
    tracks = {t.id: t.box.centre[0] for t in clock.tick(face(302), face(102))}
    assert tracks == {1: pytest.approx(102), 2: pytest.approx(302)}


def test_a_short_gap_is_bridged_where_the_walk_would_lead(clock: Clock) -> None:
    for x in (100, 120, 140, 160, 180):
        clock.tick(face(x))
    for expected in (200, 220, 240):
        (track,) = clock.tick()
        assert track.box.centre[0] == pytest.approx(expected)
    assert track.missed == 3
    (track,) = clock.tick(face(260))
    assert (track.id, track.missed) == (1, 0)


def test_a_person_not_seen_for_long_has_left(clock: Clock, settings: Settings) -> None:
    clock.tick(face(100))
    clock.wait(settings.track.lost_s - TICK_S)
    assert ids(clock.tick(after_s=TICK_S - 0.01)) == [1]
    assert ids(clock.tick(after_s=0.02)) == []
    assert ids(clock.tick(face(100))) == [2]


def test_a_face_after_a_long_pause_is_a_new_person_even_at_the_same_place(clock: Clock, settings: Settings) -> None:
    clock.tick(face(100))
    clock.wait(settings.track.lost_s)
    assert ids(clock.tick(face(100))) == [2]


def standing(clock: Clock, x: float = 100.0, ticks: int = 10) -> None:
    """Let a person stand, whose box jitters by a few per cent as a detector's does."""
    for i in range(ticks):
        clock.tick(face(x + (-1) ** i, width=40 + i % 3))


@pytest.mark.parametrize("outage_s", [1.0, 3.0, 5.8])
def test_a_person_who_stands_is_the_same_after_an_outage(clock: Clock, outage_s: float) -> None:
    for _ in range(3):
        standing(clock)
        assert ids(clock.tick(face(104, width=42), after_s=outage_s)) == [1]
        assert ids(clock.tick(face(104, width=42))) == [1]


def test_a_person_may_be_found_a_little_later_after_an_outage(clock: Clock, settings: Settings) -> None:
    standing(clock)
    assert ids(clock.tick(after_s=3.0)) == [1]  # the first pictures of a camera are often dark
    clock.tick()
    assert ids(clock.tick(face(100))) == [1]
    standing(clock)
    clock.tick(after_s=3.0)
    clock.wait(settings.track.lost_s)
    assert ids(clock.tick()) == []


@pytest.mark.parametrize(
    ("after", "outage_s"),
    [
        (face(100), 6.5),  # anybody may stand there by now
        (face(125), 3.0),  # another place
        (face(100, width=28), 3.0),  # another distance
        (face(100, width=56), 3.0),
    ],
)
def test_another_face_after_an_outage_is_another_person(clock: Clock, after: Face, outage_s: float) -> None:
    standing(clock)
    assert 2 in ids(clock.tick(after, after_s=outage_s))


def test_a_person_who_walked_before_an_outage_is_not_met_where_they_were(clock: Clock) -> None:
    for x in range(100, 200, 10):
        clock.tick(face(x))
    assert ids(clock.tick(face(190), after_s=3.0)) == [2]


def test_two_people_keep_their_ids_over_an_outage_and_a_third_gets_a_new_one(clock: Clock) -> None:
    for _ in range(10):
        clock.tick(face(100), face(200))
    assert ids(clock.tick(face(202), face(150), face(98), after_s=3.0)) == [1, 2, 3]


def test_a_camera_of_rare_pictures_keeps_a_person_who_stands(clock: Clock) -> None:
    for _ in range(10):
        assert ids(clock.tick(face(100), after_s=2.0)) == [1]


def test_a_faint_face_continues_a_track_but_starts_none(clock: Clock, settings: Settings) -> None:
    faint = settings.detect.start_score - 0.1
    assert clock.tick(face(100, score=faint)) == ()
    clock.tick(face(100))
    (track,) = clock.tick(face(104, score=faint))
    assert (track.id, track.missed, track.score) == (1, 0, faint)


def test_a_face_of_another_size_is_another_person(clock: Clock) -> None:
    clock.tick(face(100, width=40))
    assert ids(clock.tick(face(100, width=100))) == [1, 2]


def test_a_face_out_of_reach_is_another_person(clock: Clock, settings: Settings) -> None:
    clock.tick(face(100, width=40))
    clock.tick(face(100, width=40))
    far = 100 + 40 * settings.track.reach + 1
    assert ids(clock.tick(face(far, width=40))) == [1, 2]


def test_two_boxes_on_one_face_are_one_person(clock: Clock) -> None:
    clock.tick(face(100))
    assert ids(clock.tick(face(100), face(110, score=0.6))) == [1]


def test_two_first_boxes_on_one_face_are_one_person(clock: Clock) -> None:
    assert ids(clock.tick(face(100), face(110, score=0.6))) == [1]


def test_no_id_is_used_twice(clock: Clock) -> None:
    seen: set[int] = set()
    for _ in range(3):
        clock.wait(2.0)
        (track,) = clock.tick(face(100))
        assert track.id not in seen
        seen.add(track.id)
        clock.tick(after_s=5.0)


def test_two_frames_of_one_moment_do_no_harm(clock: Clock) -> None:
    clock.tick(face(100))
    (track,) = clock.tick(face(101), after_s=0.0)
    assert track.id == 1


def test_between_detections_people_are_where_they_should_be_and_none_is_missed(settings: Settings) -> None:
    tracker = Tracker(settings.track, settings.detect)
    for i in range(5):
        tracker.update([face(100 + 10 * i)], i * 0.1)
    (track,) = tracker.expected(0.5)
    assert track.box.centre[0] == pytest.approx(150, abs=2)
    assert (track.missed, track.seen_s) == (0, 0.4)
    assert tracker.expected(0.5) == (track,)


def test_a_faint_box_beside_does_not_take_a_person_from_the_sure_one(clock: Clock) -> None:
    clock.tick(face(100))
    (track,) = clock.tick(face(112), face(101, score=0.2))
    assert track.box.centre[0] == 112


def test_a_faint_box_does_not_continue_a_person_lost_for_long(clock: Clock) -> None:
    clock.tick(face(100))
    for _ in range(4):
        clock.tick()
    (track,) = clock.tick(face(110, score=0.2))
    assert track.missed == 5
    (track,) = clock.tick(face(110))
    assert (track.id, track.missed) == (1, 0)


def test_a_person_hidden_behind_another_is_the_same_person_afterwards(clock: Clock) -> None:
    """The box of a half hidden face stays at the visible half; the track does not learn speed from it."""
    for step in range(8):
        clock.tick(face(100 + 30 * step), face(700 - 30 * step))
    clock.tick(face(340), face(470, width=30, score=0.2))
    for step in range(9, 12):
        clock.tick(face(100 + 30 * step))
    tracks = clock.tick(face(460), face(340))
    assert {track.id: track.box.centre[0] for track in tracks} == {1: 460, 2: 340}


def test_a_person_seen_once_may_be_further_away(clock: Clock, settings: Settings) -> None:
    """Direction and speed are not known yet: the next detection finds them 80 pixels, two faces, further on."""
    for x in (100, 180, 260, 340):
        assert ids(clock.tick(face(x, width=40))) == [1]
    assert ids(clock.tick(face(600, width=40))) == [1, 2]


def behind(x: float, near_x: float, width: float = 40, hides: float = 120) -> list[Face]:
    """Return the visible part of a face at ``x`` behind a person at ``near_x`` who is ``hides`` pixels wide."""
    low, high = x - width / 2, x + width / 2
    if near_x - hides / 2 > low:
        high = min(high, near_x - hides / 2)
    else:
        low = max(low, near_x + hides / 2)
    return [face((low + high) / 2, width=high - low)] if high - low >= width / 3 else []


@pytest.mark.parametrize("tick_s", [1 / 15, 0.1, 0.2])
@pytest.mark.parametrize("speed", [150.0, 300.0, -300.0])
def test_two_people_who_cross_are_two_people_however_much_one_hides(clock: Clock, speed: float, tick_s: float) -> None:
    """The box behind shrinks to an edge, is hidden for up to a second, and comes out as an edge on the other side."""
    met: set[int] = set()
    for step in range(round(600 / abs(speed) / tick_s)):
        moved = speed * step * tick_s
        near_x = 500 - moved if speed > 0 else -moved - 100
        far_x = moved - 100 if speed > 0 else 500 + moved
        tracks = clock.tick(face(near_x, width=60), *behind(far_x, near_x), after_s=tick_s)
        met.update(ids(tracks))
    assert met == {1, 2}
    assert {track.id: track.box.centre[0] for track in tracks} == {
        1: pytest.approx(near_x, abs=1),
        2: pytest.approx(far_x, abs=15),
    }


def test_the_first_edge_that_comes_out_continues_the_hidden_person(clock: Clock) -> None:
    for x in (100, 130, 160, 190):
        clock.tick(face(x, width=60), face(310, width=60))
    for _ in range(5):
        clock.tick(face(310, width=60))
    tracks = clock.tick(face(388, width=24), face(310, width=60))  # the last two fifths of 340 to 400
    assert [(track.id, track.missed) for track in tracks] == [(1, 0), (2, 0)]


def test_a_box_below_a_hidden_person_is_not_a_part_of_them(clock: Clock) -> None:
    """As a print on the shirt of the person who hides them: a face comes out at the height it went."""
    for x in (100, 130, 160, 190):
        clock.tick(face(x, width=60), face(310, width=60))
    for _ in range(2):
        clock.tick(face(310, width=60))
    tracks = clock.tick(face(285, y=150, width=26), face(310, width=60))
    assert [(track.id, bool(track.missed)) for track in tracks] == [(1, True), (2, False), (3, False)]


def test_a_part_of_a_hidden_person_fits_no_better_than_the_whole_of_another(clock: Clock) -> None:
    """A small person walks to where a large one is hidden: each keeps their id."""
    for step in range(4):
        clock.tick(face(100 + 30 * step, width=80), face(500 - 30 * step, width=50))
    for step in range(4, 7):
        clock.tick(face(500 - 30 * step, width=50), face(300, y=190, width=50))
    tracks = clock.tick(face(302, width=50), face(300, y=190, width=50))
    assert {track.id: track.box.centre[0] for track in tracks if not track.missed} == {2: 302, 3: 300}


def test_two_people_each_where_the_other_was_keep_their_ids(clock: Clock) -> None:
    for step in range(-3, 1):
        clock.tick(face(308 + 45 * step, width=67), face(395 - 40 * step, width=60))
    clock.tick(face(353, width=67))  # one person hides the other
    tracks = clock.tick(face(398, y=92, width=67), face(308, width=50))
    assert {track.id: track.box.centre[0] for track in tracks} == {1: 398, 2: 308}


def test_a_person_who_stands_half_hidden_does_not_drift(clock: Clock) -> None:
    """Their speed is no longer the one they came with."""
    for x in (40, 60, 80, 100):
        clock.tick(face(x), face(160, width=60))
    for _ in range(15):
        clock.tick(face(108, width=25), face(160, width=60))
    (track, _) = clock.tick(after_s=0.5)
    assert track.box.centre[0] == pytest.approx(115, abs=10)


def test_the_last_faint_box_of_a_hidden_person_does_not_change_their_speed(clock: Clock) -> None:
    for x in (100, 130, 160, 190):
        clock.tick(face(x))
    clock.tick(face(200, width=24, score=0.2))
    (track,) = clock.tick(after_s=3 * TICK_S)
    assert track.box.centre[0] == pytest.approx(220 + 3 * 30, abs=15)


def test_a_faint_box_beside_the_way_moves_no_track(clock: Clock) -> None:
    for x in (100, 120, 140):
        clock.tick(face(x))
    (track,) = clock.tick(face(160, y=130, score=0.2))
    assert track.missed == 1
    assert track.box.centre[0] == pytest.approx(160)


def test_a_second_box_inside_a_face_is_no_person(clock: Clock) -> None:
    assert ids(clock.tick(face(100, width=80), face(105, y=110, width=40))) == [1]


@pytest.mark.parametrize("gap", [0.2, 0.5, 0.8, 1.5])
def test_two_people_who_walk_away_side_by_side_stay_the_same_two(clock: Clock, gap: float) -> None:
    width = 150.0
    while width > 30:
        apart = width * (1 + gap) / 2
        tracks = clock.tick(face(320 - apart, width=width), face(320 + apart, width=width))
        assert ids(tracks) == [1, 2]
        width *= 0.97


def test_a_person_who_leaves_past_a_standing_one_stays_one_person(clock: Clock) -> None:
    width = 150.0
    while width > 40:
        tracks = clock.tick(face(640 - width / 2, width=width), face(700, width=80))
        assert ids(tracks) == [1, 2]
        width *= 0.97


def walk_behind(clock: Clock, *, hidden_ticks: int = 4) -> None:
    """Person 1 walks to the right and disappears behind person 2, who stands."""
    for x in (40, 70, 100, 130, 160, 190):
        clock.tick(face(x, width=60), face(310, width=60))
    for _ in range(hidden_ticks):
        clock.tick(face(310, width=60))


def test_a_person_who_comes_out_late_from_behind_another_keeps_their_id(clock: Clock) -> None:
    """They stopped there: they should have come out further on long ago."""
    walk_behind(clock, hidden_ticks=11)
    assert ids(clock.tick(face(310, width=60), face(425, width=60))) == [1, 2]


def test_a_person_who_turns_back_behind_another_keeps_their_id(clock: Clock) -> None:
    walk_behind(clock, hidden_ticks=9)
    assert ids(clock.tick(face(310, width=60), face(180, width=60))) == [1, 2]


def test_an_edge_too_narrow_for_a_match_keeps_the_id_once_it_is_a_face() -> None:
    clock = tracker_of(min_face_px=0)
    walk_behind(clock, hidden_ticks=11)
    assert ids(clock.tick(face(310, width=60), face(410, width=18))) == [1, 2, 3]
    assert ids(clock.tick(face(310, width=60), face(415, width=30))) == [1, 2]


def test_an_edge_below_the_minimum_keeps_the_id_once_it_is_a_face(clock: Clock) -> None:
    walk_behind(clock, hidden_ticks=11)
    assert ids(clock.tick(face(310, width=60), face(410, width=18))) == [1, 2]
    assert ids(clock.tick(face(310, width=60), face(415, width=30))) == [1, 2]


def test_a_new_person_beside_others_gets_a_new_id(clock: Clock) -> None:
    """None of the others is hidden."""
    for _ in range(5):
        clock.tick(face(200, width=60), face(310, width=60))
    assert ids(clock.tick(face(200, width=60), face(310, width=60), face(420, width=60))) == [1, 2, 3]


@pytest.mark.parametrize("new", [face(430, y=180, width=60), face(470, width=190), face(500, width=60)])
def test_a_new_person_does_not_take_the_id_of_a_hidden_one(clock: Clock, new: Face) -> None:
    """The face is at another height, of another size, or away from the person who hides them."""
    walk_behind(clock)
    assert ids(clock.tick(face(310, width=60), new)) == [1, 2, 3]


def test_a_person_right_behind_another_gets_a_new_id(clock: Clock) -> None:
    """The first leaves the view, the second follows a face's width behind: two people, each with their own id."""
    names: dict[int, int] = {}
    for step in range(30):
        xs = {who: 30 * step - 90 * who for who in range(3)}
        present = {who: x for who, x in xs.items() if 0 <= x <= 640}
        for track in clock.tick(*(face(x, width=60) for x in present.values())):
            if not track.missed:
                who = min(present, key=lambda w: abs(present[w] - track.box.centre[0]))
                assert names.setdefault(track.id, who) == who
    assert len(names) == 3


def test_two_people_hidden_by_one_keep_their_ids(clock: Clock) -> None:
    for x in (10, 40, 70, 100):
        clock.tick(face(x, y=60, width=60), face(x + 80, y=150, width=60), face(310, width=80))
    for _ in range(8):
        clock.tick(face(310, width=80))
    assert ids(clock.tick(face(440, y=60, width=60), face(450, y=150, width=60), face(310, width=80))) == [1, 2, 3]


def test_a_hidden_person_is_not_found_on_the_face_that_hides_them(clock: Clock) -> None:
    """A box of half of the nearer face, whose own box this detection did not find."""
    for x in (100, 130, 160, 190, 220):
        clock.tick(face(x, width=40), face(310, width=90))
    clock.tick(face(310, width=90))
    tracks = clock.tick(face(290, width=44))
    assert {track.id: bool(track.missed) for track in tracks}[1]


def test_half_a_face_does_not_change_the_expected_height(clock: Clock) -> None:
    for x in (100, 130, 160, 190):
        clock.tick(face(x, width=60), face(310, width=60))
    clock.tick(face(207, y=108, width=34), face(310, width=60))
    (track, _) = clock.tick(face(310, width=60), after_s=5 * TICK_S)
    assert track.box.centre[1] == pytest.approx(100, abs=4)


def test_a_person_who_turns_away_and_back_keeps_their_id(clock: Clock) -> None:
    """Of a face turned away an ear is visible, of one that turns back the eyes first."""
    for _ in range(6):
        clock.tick(face(300, width=150))
    for _ in range(4):
        clock.tick()
    assert ids(clock.tick(face(310, y=80, width=44))) == [1, 2]
    assert ids(clock.tick(face(305, y=90, width=80))) == [1]
    assert ids(clock.tick(face(300, width=150))) == [1]


def test_a_new_person_away_from_one_who_turned_away_gets_a_new_id(clock: Clock) -> None:
    for _ in range(6):
        clock.tick(face(300, width=60))
    for _ in range(4):
        clock.tick()
    assert ids(clock.tick(face(380, width=60))) == [1, 2]


@pytest.mark.parametrize("edge", [0.0, 640.0])
def test_a_person_who_comes_in_where_another_has_just_gone_out_gets_a_new_id(settings: Settings, edge: float) -> None:
    tracker, inwards = Tracker(settings.track, settings.detect), 1.0 if edge == 0 else -1.0
    out = [face(edge + inwards * (120 - 30 * step), width=60) for step in range(5)]
    back = [face(edge + inwards * 30 * step, width=60) for step in range(4)]
    for step, there in enumerate([*((f,) for f in out), (), (), (), *((f,) for f in back)]):
        tracks = tracker.update(there, 0.1 * step, (640, 480))
    assert ids(tracks) == [2]


def test_a_person_at_the_edge_of_the_picture_has_not_left_it(settings: Settings) -> None:
    tracker = Tracker(settings.track, settings.detect)
    for step in range(20):
        half = face(625, width=30) if step % 3 else face(620, width=40)
        assert ids(tracker.update([half] if step % 4 != 3 else [], 0.1 * step, (640, 480))) == [1]


def test_a_small_face_starts_no_track_until_it_has_grown() -> None:
    clock = tracker_of(min_face_px=24)
    assert [ids(clock.tick(face(100, width=width))) for width in (16, 20, 23.9, 24, 28)] == [[], [], [], [1], [1]]


def test_a_face_that_wavers_around_the_minimum_stays_one_person() -> None:
    clock = tracker_of(min_face_px=24)
    clock.tick(face(100, width=24))
    assert {tuple(ids(clock.tick(face(100, width=width)))) for width in (23, 25, 22, 24, 20, 23)} == {(1,)}


def test_a_person_who_walks_far_away_is_no_longer_tracked() -> None:
    clock = tracker_of(min_face_px=24)
    tracks = [ids(clock.tick(face(100, width=width))) for width in (28, 25, 22, 20, 18, 16)]
    assert tracks == [[1], [1], [1], [1], [], []]


def test_a_face_beyond_the_maximum_is_not_tracked_and_0_allows_any_size() -> None:
    clock = tracker_of(max_face_px=200)
    assert ids(clock.tick(face(300, width=210))) == []
    assert ids(clock.tick(face(300, width=190))) == [1]
    assert ids(clock.tick(face(300, width=230))) == [1]
    assert ids(clock.tick(face(300, width=260))) == []
    assert ids(tracker_of(max_face_px=0).tick(face(300, width=600))) == [1]
    assert ids(tracker_of(min_face_px=0).tick(face(300, width=4))) == [1]


def test_a_face_that_turns_or_is_cut_by_the_border_is_not_taken_for_a_small_one() -> None:
    clock = tracker_of(min_face_px=24)
    clock.tick(Face(Box(0, 80, 40, 130), 0.9))
    assert ids(clock.tick(Face(Box(0, 80, 22, 130), 0.9))) == [1]
    assert ids(clock.tick(Face(Box(0, 80, 16, 130), 0.9))) == [1]

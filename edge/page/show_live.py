"""What the live screen shows: the door's state, the people over the picture, and recent decisions."""

from __future__ import annotations

from typing import NamedTuple

from edge.messages import arming_in_words
from edge.page.words import DRAWN_WIDTH, OUTCOMES, State, lasting, local, points, state_of
from edge.page_messages import CameraView, DecisionView, LiveReply, PersonView

BAR_WIDTH = 200
"""Width of the bar of evidence beside the picture, in its own units."""
DECISIONS = 10
"""Recent decisions on the screen."""
LEAST_BAR = 70.0
"""Least width of the bar below a face: that of a distant face would be too short to read."""


class Bar(NamedTuple):
    """Evidence as a bar with an empty middle: from ``x``, ``width`` wide, towards the alarm or towards the mask."""

    x: float
    width: float
    middle: float
    kind: str


class Person(NamedTuple):
    """One person: a box in the drawing, the bar below it, the bar of the list, and words for people."""

    id: int
    outcome: str
    tone: str
    words: str
    x: float
    y: float
    width: float
    height: float
    text_x: float
    anchor: str
    bar: Bar
    bar_x: float
    bar_width: float
    list_bar: Bar
    percent: int
    towards: str
    face_px: int
    seconds: str


class Camera(NamedTuple):
    """A camera with the drawing over its picture; ``height`` is the drawing's height in its own units."""

    name: str
    title: str
    height: int
    people: tuple[Person, ...]
    ignore: tuple[str, ...]
    only: tuple[str, ...]
    hints: tuple[str, ...]
    facts: str
    age: str
    heat: bool
    blind: str


class Line(NamedTuple):
    """A recent decision."""

    at: str
    time: str
    camera: str
    words: str
    tone: str


class Live(NamedTuple):
    """Everything on the live screen for one camera of the door."""

    state: State
    sentence: str
    armed: bool
    arming: str
    muted_until: str
    camera: Camera
    cameras: tuple[str, ...]
    decisions: tuple[Line, ...]
    faces_allowed: bool
    faces_until: str
    facts: tuple[tuple[str, str], ...]


NO_CAMERA = Camera("", "", 480, (), (), (), (), "", "", False, "")
"""Shown until the service knows its first camera."""


def live(reply: LiveReply, name: str = "") -> Live:
    """Return what the screen shows of the camera ``name``; of the first if there is none of this name."""
    views = {view.name: view for view in reply.cameras}
    view = views.get(name) or next(iter(views.values()), None)
    camera = camera_of(view) if view else NO_CAMERA
    state = state_of(reply.state)
    arming = arming_in_words(reply.arming)
    return Live(
        state=state,
        sentence=_sentence(state, reply),
        armed=reply.arming.armed,
        arming=f"{arming[:1].upper()}{arming[1:]}.",
        muted_until=reply.arming.muted_until and local(reply.arming.muted_until),
        camera=camera,
        cameras=tuple(views) if len(views) > 1 else (),
        decisions=tuple(_line(each) for each in reply.decisions[:DECISIONS]),
        faces_allowed=reply.faces_allowed,
        faces_until=reply.faces_until and local(reply.faces_until),
        facts=_facts(reply, camera),
    )


def camera_of(view: CameraView) -> Camera:
    """Return a camera with the drawing over its picture."""
    height = round(DRAWN_WIDTH * view.height / view.width) if view.width and view.height else 480
    health = view.health
    return Camera(
        name=view.name,
        title=view.name or "camera",
        height=height,
        people=tuple(person_of(person, height) for person in view.people),
        ignore=tuple(points(region, height) for region in view.ignore),
        only=tuple(points(region, height) for region in view.only),
        hints=view.hints,
        facts=f"{view.width} x {view.height}, {view.per_s:.1f} pictures per second" if view.width else "no picture yet",
        age="" if view.age_s is None else f"{view.age_s:.1f} s old",
        heat=view.heat,
        blind=health.reason if health and view.state == "blind" else "",
    )


def person_of(view: PersonView, height: int) -> Person:
    """Return a person in a drawing of this height."""
    xmin, ymin, xmax, ymax = view.box
    x, width = xmin * DRAWN_WIDTH, (xmax - xmin) * DRAWN_WIDTH
    bar_width = max(LEAST_BAR, width)
    right = x + width / 2 > DRAWN_WIDTH * 0.6  # the text grows to the left there, or the edge would cut it off
    evidence = max(-1.0, min(1.0, view.evidence))
    return Person(
        id=view.id,
        outcome=view.outcome,
        tone=OUTCOMES.get(view.outcome, ""),
        words=view.words,
        x=x,
        y=ymin * height,
        width=width,
        height=(ymax - ymin) * height,
        text_x=min(x + width, DRAWN_WIDTH - 4) if right else max(x, 4),
        anchor="end" if right else "start",
        bar=bar_of(evidence, bar_width),
        bar_x=x + (width - bar_width) / 2,
        bar_width=bar_width,
        list_bar=bar_of(evidence, BAR_WIDTH),
        percent=round(abs(evidence) * 100),
        towards="no mask" if evidence > 0 else "mask",
        face_px=round(view.face_px),
        seconds=lasting(max(1, view.seconds)),
    )


def bar_of(evidence: float, width: float) -> Bar:
    """Return a bar of this width: it fills to the right towards the alarm (1), to the left towards a mask (-1)."""
    middle = width / 2
    length = abs(evidence) * middle
    return Bar(middle if evidence > 0 else middle - length, length, middle, "to-alarm" if evidence > 0 else "to-mask")


def _sentence(state: State, reply: LiveReply) -> str:
    """Return the state in a sentence, with the reason of a blind camera."""
    reasons = [each.health.reason for each in reply.cameras if each.health and each.health.reason]
    if reply.state == "blind" and reasons:
        return f"{state.sentence} {reasons[0][:1].upper()}{reasons[0][1:]}."
    people = sum(len(each.people) for each in reply.cameras)
    if reply.state == "running":
        return f"{state.sentence} {_people(people)}"
    return state.sentence


def _people(number: int) -> str:
    if number < 2:
        return "One person is in view." if number else "No one is in view."
    return f"{number} people are in view."


def _line(view: DecisionView) -> Line:
    return Line(
        view.at, local(view.at), view.camera, view.words, "bad" if view.alarm else OUTCOMES.get(view.outcome, "")
    )


def _facts(reply: LiveReply, camera: Camera) -> tuple[tuple[str, str], ...]:
    """Return what runs here: names and values."""
    facts = (
        ("Camera", camera.facts),
        ("Newest picture", camera.age),
        ("Board", reply.board),
        ("Models", ", ".join(reply.models)),
        ("Version", reply.version),
        ("Runs for", lasting(reply.uptime_s)),
    )
    return tuple((name, value) for name, value in facts if value)

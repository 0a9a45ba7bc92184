"""Newest step of each camera, and what the page shows of the door: state, people, recent decisions.

The loop only stores references. Replies are built in the thread of the page's socket, while someone asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import NamedTuple

from edge import config
from edge.config import Settings
from edge.contracts import Box, Change, Decision, Delivery, Health, ModelFallback, Outcome, Passage, Step, Track
from edge.messages import ArmingMessage, health_message
from edge.page_messages import DECISIONS_KEPT, CameraView, DecisionView, LiveReply, PersonView, Share
from edge.reporting.console import change_in_words, state_of
from edge.reporting.listener import Listener
from edge.reporting.live_state import LiveState

RATE_FRAMES = 30
"""Newest pictures of a camera that its rate is measured over."""
OUTCOME_WORDS = {Outcome.UNDECIDED: "not decided yet", Outcome.UNSURE: "cannot be judged"}
"""Outcomes whose words for users are not :func:`edge.reporting.console.state_of`."""


class Seen(NamedTuple):
    """A step, its number since the start, and when its picture was taken, or a recording's was read."""

    number: int
    step: Step
    at_s: float


@dataclass(slots=True)
class CameraSteps:
    """Steps of one camera: the newest, the newest that the detector inspected, and the newest with observations."""

    newest: Seen | None = None
    inspected: Seen | None = None
    observed: Seen | None = None
    times_s: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_FRAMES))

    @property
    def per_s(self) -> float:
        """Pictures per second, 0 while it is unknown."""
        times = list(self.times_s)
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 0.0


class LiveView(Listener):
    """Steps and decisions of a run, for the page. ``clock`` is monotonic, ``wall`` gives seconds since 1970.

    ``models`` returns the names of the models of a run with these settings.
    """

    def __init__(
        self, clock: Callable[[], float], wall: Callable[[], float], models: Callable[[Settings], Sequence[str]]
    ) -> None:
        self._clock, self._wall, self._models_of = clock, wall, models
        self.settings: Settings | None = None
        """Those of the present run, None before the first."""
        self.cameras: Mapping[str, CameraSteps] = {}
        self.models: tuple[str, ...] = ()
        self.decisions: deque[DecisionView] = deque(maxlen=DECISIONS_KEPT)
        self._numbers: dict[str, int] = {}

    def on_settings(self, settings: Settings) -> None:
        """Begin a run; its pictures go on counting, so that a viewer takes none for one that it has."""
        self.settings = settings
        self.cameras = {name: CameraSteps() for name in config.cameras(settings.camera)}

    def on_models(self, fallbacks: Sequence[ModelFallback]) -> None:
        """Note which models the run uses."""
        self.models = tuple(self._models_of(self.settings)) if self.settings else ()

    def on_step(self, step: Step, delivery: Delivery) -> None:
        """Store references to the step."""
        steps = self.cameras[step.camera]
        number = self._numbers[step.camera] = self._numbers.get(step.camera, 0) + 1
        seen = Seen(number, step, self._clock() if delivery.late_s is None else step.frame.captured_s)
        if step.detected:
            steps.inspected = seen
        if step.observations:
            steps.observed = seen
        steps.times_s.append(seen.at_s)
        steps.newest = seen

    def on_decision(self, decision: Decision) -> None:
        """Keep the decision in words."""
        passage = decision.passage
        self.decisions.append(
            DecisionView(
                at=utc(self._wall()),
                camera=decision.camera,
                words=change_in_words(decision),
                change=decision.change.value,
                outcome=passage.outcome.value,
                alarm=passage.signal.alarming and decision.change in (Change.DECIDED, Change.REVISED),
            )
        )

    def age_s(self, seen: Seen) -> float:
        """Return the age of a step's picture, in seconds."""
        return max(0.0, self._clock() - seen.at_s)

    def steps_of(self, camera: str) -> CameraSteps | None:
        """Return the steps of a camera, those of the first one for an empty name, None if there is no such camera."""
        return self.cameras.get(camera) or (next(iter(self.cameras.values()), None) if not camera else None)


def utc(at: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Door:
    """What a live reply says beside the steps: ``hints`` of a camera's picture, and the turn that each needs."""

    state: LiveState
    arming: Callable[[], ArmingMessage]
    hints: Callable[[str, CameraSteps], Sequence[str]]
    turns: Mapping[str, int]
    faces_until: Callable[[], str]
    version: str
    board: str
    wall: Callable[[], float]
    started_s: float


def live_reply(view: LiveView, door: Door) -> LiveReply:
    """Return what fmd does now."""
    now, settings = door.wall(), view.settings
    decisions = tuple(reversed(view.decisions.copy()))
    return LiveReply(
        now=utc(now),
        state=door.state.door_state(),
        arming=door.arming(),
        cameras=tuple(_camera(name, steps, view, door) for name, steps in view.cameras.items()),
        decisions=decisions,
        faces_until=door.faces_until(),
        faces_allowed=bool(settings and settings.page.show_faces),
        version=door.version,
        board=door.board,
        models=view.models,
        uptime_s=round(now - door.started_s, 1),
    )


def _camera(name: str, steps: CameraSteps, view: LiveView, door: Door) -> CameraView:
    assert view.settings is not None, "cameras come with settings"
    newest, camera = steps.newest, config.cameras(view.settings.camera)[name]
    health = next((each for each in door.state.healths() if each.camera == name), None)
    ignore, only = config.regions(view.settings, name)
    height, width = newest.step.frame.image.shape[:2] if newest else (0, 0)
    observations = steps.observed.step.observations.values() if steps.observed else ()
    return CameraView(
        name=name,
        state=door.state.state(name),
        health=health_message(health) if health else None,
        hints=tuple(_hints(name, steps, health, door)),
        picture=newest.number if newest else 0,
        age_s=round(view.age_s(newest), 3) if newest else None,
        per_s=round(steps.per_s, 1),
        width=width,
        height=height,
        people=people(newest.step) if newest else (),
        ignore=ignore,
        only=only,
        rotate=camera.rotate,
        heat=any(observation.heat is not None for observation in observations),
        turn=door.turns.get(name),
    )


def _hints(name: str, steps: CameraSteps, health: Health | None, door: Door) -> Iterator[str]:
    """Yield what is wrong with a camera, the worst first, as sentences."""
    if health is not None and health.blind:
        yield sentence(f"no picture: {health.reason or health.state.value}")
        return  # old pictures say nothing about now
    yield from door.hints(name, steps)
    yield from map(sentence, door.state.hints(name))
    if health is not None and health.slow:
        yield sentence(health.slow)


def sentence(text: str) -> str:
    """Return a line of the log as a sentence."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def people(step: Step) -> tuple[PersonView, ...]:
    """Return the people in a step, and the faces that count as pictures.

    What was not judged to be a face so far is left out: most of it never is one.
    """
    passages = {passage.id: passage for passage in step.passages if passage.observations}
    height, width = step.frame.image.shape[:2]
    everything, still = Box(0, 0, width, height), {track.id for track in step.pictures}
    judged = [track for track in step.tracks if track.id in passages]
    shown = [track for track in (*judged, *step.pictures) if track.box.intersection(everything)]
    return tuple(_person(track, passages.get(track.id), track.id in still, width, height) for track in shown)


def _person(track: Track, passage: Passage | None, still: bool, width: int, height: int) -> PersonView:
    outcome = passage.outcome if passage else Outcome.UNDECIDED
    words = OUTCOME_WORDS.get(outcome) or (state_of(passage) if passage else "")
    return PersonView(
        id=track.id,
        box=share(track.box, width, height),
        outcome=outcome.value,
        label=passage.label if passage else "",
        words="a picture, not a person" if still else words,
        evidence=round(passage.evidence, 3) if passage else 0.0,
        observations=passage.observations if passage else 0,
        seconds=round(track.seen_s - track.entered_s, 1),
        violated=bool(passage and passage.violated),
        face_px=round(track.box.width, 1),
        score=round(track.score, 3),
    )


def share(box: Box, width: int, height: int) -> Share:
    """Return a box in pixels as shares of the picture, cut to it."""
    across, down = ((0, width), (0, height))
    xmin, xmax = (round(min(max(x, across[0]), across[1]) / width, 4) for x in (box.xmin, box.xmax))
    ymin, ymax = (round(min(max(y, down[0]), down[1]) / height, 4) for y in (box.ymin, box.ymax))
    return xmin, ymin, xmax, ymax

"""What the record's screen shows: a report, messages about drift, unsure passages, and sliders for thresholds."""

from __future__ import annotations

from typing import NamedTuple

from edge.page.words import OUTCOMES, lasting, local
from edge.page_messages import PassagesReply, PassageView, ReportReply, SettingsReply

PERIODS = (("day", "Day"), ("week", "Week"), ("month", "Month"))


class Passage(NamedTuple):
    """A recorded passage."""

    at: str
    time: str
    camera: str
    words: str
    tone: str
    seen: str


class Slider(NamedTuple):
    """A threshold to try: the values that its slider takes, what its ends mean, and the index of the present value."""

    key: str
    title: str
    less: str
    more: str
    values: tuple[str, ...]
    present: int


class Record(NamedTuple):
    """Everything on the screen. ``html`` is the service's own report, which holds no script.

    ``missing`` is why there is none.
    """

    period: str
    back: int
    html: str
    missing: str
    drift: tuple[str, ...]
    passages: tuple[Passage, ...]
    sliders: tuple[Slider, ...]


class Range(NamedTuple):
    """Values that a slider takes for a setting of [decide]."""

    key: str
    title: str
    less: str
    more: str
    values: tuple[float, ...]


RANGES = (
    Range(
        "decide.error_rate",
        "Target share of wrong decisions",
        "decides later",
        "decides sooner",
        (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
    ),
    Range(
        "decide.temperature",
        "Weight of the classifier's answers",
        "surer than it says",
        "less sure",
        (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.7, 2.0),
    ),
    Range(
        "decide.unsure_after_s",
        "Seconds until a person without a decision is unsure",
        "unsure sooner",
        "unsure later",
        (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0),
    ),
)
EFFECTS = (
    ("alarms", "Alarms"),
    ("signals", "Signals without an alarm"),
    ("compliant", "With a mask"),
    ("unsure", "Unsure"),
    ("undecided", "Without a decision"),
    ("alarm_s", "Seconds until the alarm, median"),
)
"""Field of :class:`edge.record.tune.Effect` -> its row in the table of effects."""


def record(
    period: str,
    back: int,
    report: ReportReply,
    passages: PassagesReply,
    settings: SettingsReply,
    missing: str = "",
) -> Record:
    """Return what the screen shows. Without a record there is nothing to try thresholds on."""
    present = {} if missing else {view.key: view.value for view in settings.settings}
    return Record(
        period=period,
        back=back,
        html=report.html,
        missing=missing,
        drift=passages.drift,
        passages=tuple(_passage(view) for view in passages.passages),
        sliders=tuple(_slider(each, float(present[each.key])) for each in RANGES if each.key in present),
    )


def _slider(each: Range, present: float) -> Slider:
    """Return a slider that can take the present value as well."""
    values = sorted({*each.values, present})
    texts = tuple(f"{value:g}" for value in values)
    return Slider(each.key, each.title, each.less, each.more, texts, values.index(present))


def _passage(view: PassageView) -> Passage:
    tone = "bad" if view.violated else OUTCOMES.get(view.outcome, "")
    seen = f"{view.observations} observations in {lasting(max(1, view.seconds))}, face {view.face_px:.0f} px"
    return Passage(view.at, local(view.at), view.camera, view.words, tone, seen)

"""Sentences about the figures of a report, the same in its text and on its page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from edge.record.compliance import Estimate
from edge.record.hours import Sums
from edge.record.report import Report

LINE_MS = 60_000
"""Shorter times are not named: they read as 0 min."""
MEANINGS: Mapping[str, str] = {
    "watched": "the camera saw the door",
    "disarmed": "switched off on purpose or by the schedule, not a fault",
    "blind": "no usable picture from the camera, a fault",
    "dark": "the picture was black or covered, a fault",
    "stopped": "fmd did not run",
}
"""Kinds of time of a report, in the order in which it names them, and what each means."""
FAULTS = ("blind", "dark", "stopped")
"""Kinds in which fmd should have watched."""
CHANCE = "Allowing for chance: the true figure lies within these limits 19 times of 20."

Direction = Literal["better", "worse", ""]


def times(report: Report) -> dict[str, int]:
    """Return the milliseconds of each of :data:`MEANINGS`; together they are the time of the report."""
    sums = report.sums
    found = (sums.watched_ms, sums.disarmed_ms, sums.blind_ms, sums.dark_ms, report.stopped_ms)
    return dict(zip(MEANINGS, found, strict=True))


def unwatched_ms(report: Report) -> int:
    """Return the milliseconds in which a person could have passed unseen."""
    return sum(times(report).values()) - report.sums.watched_ms


def duration(ms: int) -> str:
    """Return a duration as hours and minutes, such as "12 h 05 min"."""
    minutes = round(ms / 60_000)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def of_100(share: float, digits: int = 0) -> str:
    """Return how many of 100 people a share is, such as "88"; only all are 100, and only none are 0."""
    step = 10.0**-digits
    if 0 < share < 1 and round(share * 100, digits) in (0, 100):
        return f"less than {step:g}" if share < 0.5 else f"more than {100 - step:g}"
    return f"{share * 100:.{digits}f}"


def between(found: Estimate) -> str:
    """Return the interval as whole people of 100, rounded outwards; :data:`CHANCE` explains it."""
    return f"{math.floor(found.low * 100)} to {math.ceil(found.high * 100)}, allowing for chance"


def direction(report: Report) -> Direction:
    """Return whether a share is better or worse than the one before: only if their intervals do not overlap.

    While the camera is drifting, it is neither: the change may be the camera's.
    """
    now, before = report.measured, report.previous_measured
    if now is None or before is None or report.drifting or (now.low <= before.high and before.low <= now.high):
        return ""
    return "better" if now.share > before.share else "worse"


def comparison(report: Report) -> str:
    """Return the same as a sentence, and why there is no comparison."""
    now, before, earlier = report.measured, report.previous_measured, report.earlier
    if now is None:
        return f"No comparison with {earlier}: fmd could not judge anyone this time."
    if before is None:
        return f"No comparison: fmd judged no one in {earlier}."
    if report.drifting:
        return f"No comparison with {earlier}: the camera has changed, and a difference may come from that."
    found = direction(report)
    if not found:
        return f"About the same as in {earlier} ({of_100(before.share)} of 100): the difference may be chance."
    digits = 0 if of_100(now.share) != of_100(before.share) else 1
    was, is_ = of_100(before.share, digits), of_100(now.share, digits)
    way = "up" if found == "better" else "down"
    return f"{found.capitalize()}: {is_} of 100 people wore a mask well, {way} from {was} in {earlier}."


def passed(sums: Sums) -> str:
    """Return how the people who passed add up."""
    return f"{sums.compliant:,} wore a mask well, {sums.violated:,} did not, {sums.unsure:,} fmd could not judge"


def violated(report: Report) -> str:
    """Return how the violations add up, by how each ended."""
    sums = report.sums
    mean = "" if report.put_on_s is None else f" ({report.put_on_s:.0f} s later on average)"
    return (
        f"{sums.put_on:,} put a mask on after the alarm{mean}, "
        f"{sums.badly_worn:,} wore it badly until they left, {without_mask(sums):,} wore none until they left"
    )


def without_mask(sums: Sums) -> int:
    """Return how many of the violations ended neither with a well worn nor with a badly worn mask."""
    return max(0, sums.violated - sums.put_on - sums.badly_worn)


def watched(report: Report) -> str:
    """Return how much of the armed time was watched, as sentences: a dead camera shows no violation either."""
    found = times(report)
    armed, disarmed = sum(found.values()) - found["disarmed"], found["disarmed"]
    if armed < LINE_MS:
        return f"fmd was disarmed all the time ({duration(disarmed)})." if disarmed else "fmd watched nothing."
    share = of_100(found["watched"] / armed)
    sentences = [f"fmd watched {duration(found['watched'])} of the {duration(armed)} that it should have ({share}%)."]
    if missed := [f"{name} {duration(found[name])}" for name in FAULTS if found[name] >= LINE_MS]:
        sentences.append(f"Not watched: {', '.join(missed)}.")
    if disarmed >= LINE_MS:
        sentences.append(f"Besides, it was disarmed for {duration(disarmed)}.")
    return " ".join(sentences)


def why_empty(report: Report) -> list[str]:
    """Return sentences why a report is empty; none if there are people in it."""
    if report.sums.passages:
        return []
    found, sentences = times(report), []
    if report.without_clock:
        sentences.append(f"{without_clock(report.without_clock)} Some may belong to this time.")
    if found["watched"] >= LINE_MS:
        sentences.append(f"No one passed while fmd watched ({duration(found['watched'])}).")
    elif named := [f"{name} {duration(ms)} ({MEANINGS[name]})" for name, ms in found.items() if ms >= LINE_MS]:
        sentences.append(f"fmd did not watch in this time: {', '.join(named)}.")
    elif not sentences:
        sentences.append("The record has nothing from this time.")
    return [f"This report is empty. {sentences[0]}", *sentences[1:]]


def without_clock(count: int) -> str:
    """Return that ``count`` recorded people are in no report, and why."""
    people = "person" if count == 1 else "people"
    return f"{count:,} {people} passed while fmd could not confirm the board's clock: no report counts them."

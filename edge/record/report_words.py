"""Sentences about the figures of a report, the same in its text and on its page."""

from __future__ import annotations

import math
from collections.abc import Mapping

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
    """Return the interval as whole people of 100, rounded outwards, and what it means."""
    low, high = math.floor(found.low * 100), math.ceil(found.high * 100)
    return f"between {low} and {high} (the range in which the true figure lies 19 times of 20)"


def comparison(now: Estimate | None, before: Estimate | None, drifting: bool = False) -> str:
    """Return whether a share is better or worse than the one before: only if their intervals do not overlap.

    While the camera is ``drifting``, it is neither: the change may be the camera's.
    """
    if now is None:
        return "No comparison with the period before: nobody was judged in this one."
    if before is None:
        return "No comparison: nobody was judged in the period before."
    if drifting:
        return "No comparison with the period before: the camera has changed, and a difference may come from that."
    if now.low <= before.high and before.low <= now.high:
        return f"No clear difference from the period before ({of_100(before.share)} of 100): the two ranges overlap."
    word = "Better" if now.share > before.share else "Worse"
    digits = 0 if of_100(now.share) != of_100(before.share) else 1
    was, is_ = of_100(before.share, digits), of_100(now.share, digits)
    return f"{word} than in the period before: {is_} instead of {was} of 100 people wore a mask well."


def passed(sums: Sums) -> str:
    """Return how the people who passed add up."""
    return f"{sums.compliant:,} wore a mask well, {sums.violated:,} did not, {sums.unsure:,} unsure (in no share)"


def violated(report: Report) -> str:
    """Return how the violations add up, by how each ended."""
    sums = report.sums
    mean = "" if report.put_on_s is None else f", {report.put_on_s:.0f} s later on average"
    return (
        f"{sums.put_on:,} put a mask on after the alarm{mean}; "
        f"{sums.badly_worn:,} wore it badly to the end; {without_mask(sums):,} wore none to the end"
    )


def without_mask(sums: Sums) -> int:
    """Return how many of the violations ended neither with a well worn nor with a badly worn mask."""
    return max(0, sums.violated - sums.put_on - sums.badly_worn)


def watched(report: Report) -> str:
    """Return how much of the armed time was watched: a dead camera shows no violation either."""
    found = times(report)
    armed, disarmed = sum(found.values()) - found["disarmed"], found["disarmed"]
    apart = f"; disarmed {duration(disarmed)} more" if disarmed >= LINE_MS else ""
    if armed < LINE_MS:
        return f"disarmed all the time, {duration(disarmed)}" if disarmed else "nothing was watched in this time"
    share = of_100(found["watched"] / armed)
    reasons = (f"{name} {duration(found[name])}" for name in ("blind", "dark", "stopped") if found[name] >= LINE_MS)
    faults = "".join(f"; {reason}" for reason in reasons)
    return f"watched {duration(found['watched'])} of {duration(armed)} when not disarmed ({share}%){faults}{apart}"


def not_watched(report: Report) -> str:
    """Return how much of the time that is not disarmed was not watched, as a sentence."""
    found = times(report)
    missed = found["blind"] + found["dark"] + found["stopped"]
    armed = f"Not watched: {duration(missed)} of the {duration(missed + found['watched'])} when not disarmed."
    return f"{armed} Disarmed: {duration(found['disarmed'])} more." if found["disarmed"] >= LINE_MS else armed


def why_empty(report: Report) -> list[str]:
    """Return sentences why nobody is in a report; none if there are people in it."""
    if report.sums.passages:
        return []
    found, sentences = times(report), []
    if report.without_clock:
        sentences.append(f"{without_clock(report.without_clock)} Some may belong to this time.")
    if found["watched"] >= LINE_MS:
        sentences.append(f"Nobody passed while fmd watched ({duration(found['watched'])}).")
    elif named := [f"{name} {duration(ms)} ({MEANINGS[name]})" for name, ms in found.items() if ms >= LINE_MS]:
        sentences.append(f"fmd did not watch in this time: {', '.join(named)}.")
    elif not sentences:
        sentences.append("The record has nothing from this time.")
    return [f"This report is empty. {sentences[0]}", *sentences[1:]]


def without_clock(count: int) -> str:
    """Return that ``count`` recorded people are in no report, and why."""
    people = "person" if count == 1 else "people"
    return f"{count:,} {people} passed while fmd could not confirm the board's clock: no report counts them."

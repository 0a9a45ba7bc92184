"""How soon the drift detector finds a change, and how often it reports one that is none, on simulated years.

    python -m simulation.drift [--years 4] [--passages 1000]

"Least" is a bound on the mean delay of any detector with as few false reports as one a year over all signals: the
logarithm of the mean time between them, over the information in one passage (Lorden, Ann. Math. Statist. 42, 1971).

Each year has daily, weekly and seasonal patterns in every signal, and weather from day to day. Then one signal changes
by 2, 5 or 10 percent, in the middle of a quarter. "Found" counts changes that were reported within 3,000 passages.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge.record.drift import SIGNALS, Drift
from edge.record.rows import PassageRow

DAY_MS = 86_400_000
BEGAN_MS = 1_800_000_000_000 // DAY_MS * DAY_MS
OPEN_MS = (7 * 3_600_000, 19 * 3_600_000)
CHANGES = (0.02, 0.05, 0.1)
SETTLE_DAYS = 30
PATIENCE = 3000
"""Passages after which a change that was not reported counts as missed."""


@dataclass(frozen=True)
class Door:
    """Levels of all signals. ``faults`` are factors on single signals."""

    width: float = 80.0
    sharpness: float = 60.0
    score: float = 0.85
    brightness: float = 120.0
    place_x: float = 0.5
    place_y: float = 0.4
    disagreement: float = 0.06
    unsure: float = 0.015
    violated: float = 0.10
    badly_worn: float = 0.025


LEVELS = tuple(Door.__dataclass_fields__)


def days(door: Door, count: int, passages: float, chance: random.Random, first_day: int = 0) -> Iterator[PassageRow]:
    """Yield the passages of ``count`` days from ``first_day`` on, oldest first."""
    for day in range(first_day, first_day + count):
        season, weekday = math.sin(2 * math.pi * day / 365.25), day % 7
        weather = chance.lognormvariate(0, 0.1)
        busy = passages * (0.4 if weekday >= 5 else 1.24) * (1 + 0.2 * season)
        moments = sorted(chance.uniform(*OPEN_MS) for _ in range(max(0, round(chance.gauss(busy, busy**0.5)))))
        for moment in moments:
            noon = math.cos(2 * math.pi * (moment / DAY_MS - 0.5))
            yield _passage(door, BEGAN_MS + day * DAY_MS + round(moment), season, weekday, noon, weather, chance)


def _passage(
    door: Door, at: int, season: float, weekday: int, noon: float, weather: float, chance: random.Random
) -> PassageRow:
    behaviour = 1 + 0.1 * season + (0.1 if weekday >= 5 else 0.0) - 0.1 * noon
    violated = chance.random() < door.violated * behaviour
    badly = violated and chance.random() < door.badly_worn / door.violated
    unsure = not violated and chance.random() < door.unsure
    return PassageRow(
        id=1,
        camera="",
        entered=at,
        decided=None if unsure else 800,
        alarm=800 if violated else None,
        cleared=None,
        ended=4000,
        outcome="unsure" if unsure else "violation" if violated else "compliant",
        label="with_incorrect_mask" if badly else "without_mask" if violated else "with_mask",
        violated=violated,
        observations=20,
        width=door.width * chance.lognormvariate(0, 0.25) * (1 + 0.03 * noon),
        brightness=door.brightness * chance.lognormvariate(0, 0.15) * (1 + 0.2 * noon + 0.15 * season) * weather,
        score=min(1.0, chance.gauss(door.score, 0.07) + 0.01 * noon),
        sharpness=door.sharpness * chance.lognormvariate(0, 0.4) * (1 + 0.05 * noon + 0.05 * season),
        disagreement=door.disagreement * chance.lognormvariate(0, 0.5),
        place=(chance.gauss(door.place_x, 0.12), chance.gauss(door.place_y, 0.06)),
        evidence=b"",
    )


SPREADS = {"width": 0.25, "sharpness": 0.4, "brightness": 0.15, "disagreement": 0.5}
"""Standard deviation of the logarithm of a signal from passage to passage, as :func:`_passage` draws it."""
DEVIATIONS = {"score": 0.07, "place_x": 0.12, "place_y": 0.06}
"""The same of signals that are no ratios."""


def least_delay(signal: str, change: float, passages: float) -> float:
    """Return the least mean number of passages until a change is found, with one false report a year."""
    return math.log(len(SIGNALS) * 365 * passages) / information(signal, change)


def information(signal: str, change: float) -> float:
    """Return how much one passage after a change says for it on average (Kullback and Leibler), in nats."""
    before, after = getattr(Door(), signal), getattr(changed(Door(), signal, change), signal)
    if signal in SPREADS:
        return math.log(after / before) ** 2 / (2 * SPREADS[signal] ** 2)
    if signal in DEVIATIONS:
        return float((after - before) ** 2 / (2 * DEVIATIONS[signal] ** 2))
    return float(after * math.log(after / before) + (1 - after) * math.log((1 - after) / (1 - before)))


def false_reports(years: int, passages: float, seed: int) -> int:
    """Return how often something was reported in ``years`` of a door that does not change."""
    drift, count, before = Drift(), 0, set[tuple[str, int]]()
    for row in days(Door(), 365 * years, passages, random.Random(seed)):
        if drift.add(row):
            now = {(finding.signal, finding.since) for finding in drift.findings()}
            count += len(now - before)
            before = now
    return count


def delay(signal: str, change: float, passages: float, seed: int) -> int | None:
    """Return after how many passages a change of one signal was reported; None if not within PATIENCE."""
    chance, drift, door = random.Random(seed), Drift(), Door()
    for row in days(door, SETTLE_DAYS, passages, chance):
        drift.add(row)
    reported = {finding.signal for finding in drift.findings()}
    for number, row in enumerate(days(changed(door, signal, change), 14, passages, chance, SETTLE_DAYS), 1):
        drift.add(row)
        if number % 16 == 0 and {finding.signal for finding in drift.findings()} - reported:
            return number
        if number > PATIENCE:
            return None
    return None


def changed(door: Door, signal: str, change: float) -> Door:
    """Return ``door`` with one signal less good: compliance lower by a share, places further off, and so on."""
    level = getattr(door, signal)
    if signal == "violated":  # compliance drops by this share
        return replace(door, violated=1 - (1 - level) * (1 - change))
    if signal == "badly_worn":  # masks of this share of all people slip
        return replace(door, badly_worn=level + change, violated=door.violated + change)
    if signal == "unsure":
        return replace(door, unsure=level + change)
    if signal in ("place_x", "place_y"):  # by this share of the picture
        return replace(door, **{signal: level + change})
    return replace(door, **{signal: level * (1 + change if signal == "disagreement" else 1 - change)})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=4, help="years without a change")
    parser.add_argument("--passages", type=float, default=1000, help="passages a day")
    parser.add_argument("--repeat", type=int, default=5, help="doors for each signal and change")
    arguments = parser.parse_args()
    print("signal        change  found  passages until the report: median, longest; least")
    for signal in SIGNALS:
        for change in CHANGES:
            found = [delay(signal, change, arguments.passages, seed) for seed in range(arguments.repeat)]
            delays = [each for each in found if each is not None]
            shown = f"{statistics.median(delays):6.0f}, {max(delays):6d}" if delays else "     -"
            least = least_delay(signal, change, arguments.passages)
            print(f"{signal:13s} {change:5.0%}  {len(delays)}/{len(found)}  {shown:14s}; {least:6.0f}", flush=True)
    count = false_reports(arguments.years, arguments.passages, 1)
    print(f"reports without a change: {count} in {arguments.years} years of one camera")
    return 0


if __name__ == "__main__":
    sys.exit(main())

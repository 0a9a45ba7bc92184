"""A simulated record of many days, written straight into the database: for reports, drift and their time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from edge.inference.bundle import Confusion
from edge.record import database, hours
from edge.record.evidence import Weighed, packed
from edge.record.hours import HOUR_MS
from tests.edge.record.parts import settings

CONFUSION = Confusion(
    labels=("with_mask", "without_mask", "with_incorrect_mask"),
    observation=((940, 30, 30), (20, 470, 10), (12, 6, 82)),
    passage=((970, 15, 15), (8, 488, 4), (8, 2, 90)),
)
OPEN = (7, 19)
"""Hours of the day in which people pass."""


@dataclass
class Day:
    """What a day is like; a test changes it from some day on. Shares are 0..1, sizes pixels."""

    passages: float = 1000.0
    compliant: float = 0.9
    badly_worn: float = 0.25
    unsure: float = 0.01
    width: float = 80.0
    brightness: float = 120.0
    sharpness: float = 60.0
    score: float = 0.85
    disagreement: float = 0.06
    place: tuple[float, float] = (0.5, 0.4)
    watched: bool = True


def write_days(
    folder: Path,
    began: datetime,
    days: int,
    of: Callable[[int], Day] = lambda number: Day(),
    seed: int = 1,
    roll: bool = True,
) -> None:
    """Write ``days`` days from the local midnight ``began`` on; ``of`` gives what each day is like."""
    connection, _ = database.open_for_writing(folder)
    chance = random.Random(seed)
    evidence = [_evidence(chance) for _ in range(64)]
    number = connection.execute("SELECT coalesce(max(id), 0) FROM passages").fetchone()[0]
    confusion = msgspec.json.encode(CONFUSION).decode()
    labels = database.encoded(CONFUSION.labels)
    with database.transaction(connection):
        connection.execute(
            "INSERT INTO runs VALUES(NULL,?,1,'1','abc','def','s',?,'with_mask',?)", (_ms(began), labels, confusion)
        )
    run = connection.execute("SELECT max(id) FROM runs").fetchone()[0]
    for day in range(days):
        start, like = began + timedelta(days=day), of(day)
        with database.transaction(connection):
            for row in _day(chance, start, like, evidence):
                number += 1
                marks = ",".join("?" * (len(row) + 2))
                connection.execute(f"INSERT INTO passages VALUES({marks})", (number, run, *row))
            first = start + timedelta(hours=OPEN[0])
            if like.watched:
                connection.execute(
                    "INSERT INTO spans VALUES(NULL,'','watching',?,?,1)", (_ms(first), _ms(first) + 12 * HOUR_MS)
                )
            if roll:
                now = _ms(start + timedelta(hours=23, minutes=30))
                hours.roll_up(connection, now, None if day % 20 == 0 else now - HOUR_MS, settings())
    connection.close()


def _day(chance: random.Random, start: datetime, like: Day, evidence: list[bytes]) -> list[tuple[object, ...]]:
    count = max(0, round(chance.gauss(like.passages, like.passages**0.5))) if like.passages else 0
    span_s = (OPEN[1] - OPEN[0]) * 3600
    moments = sorted(chance.uniform(0, span_s) for _ in range(count))
    return [_passage(chance, _ms(start) + round((OPEN[0] * 3600 + at) * 1000), like, evidence) for at in moments]


def _passage(chance: random.Random, ended: int, like: Day, evidence: list[bytes]) -> tuple[object, ...]:
    entered = ended - round(chance.uniform(2000, 8000))
    decided, alarm, cleared = entered + round(chance.uniform(300, 1500)), None, None
    outcome, label, violated = "compliant", "with_mask", False
    if chance.random() < like.unsure:
        outcome, decided = "unsure", None
    elif chance.random() > like.compliant:
        outcome, violated, alarm = "violation", True, decided
        label = "with_incorrect_mask" if chance.random() < like.badly_worn else "without_mask"
        if chance.random() < 0.4:
            outcome, label, cleared = "compliant", "with_mask", alarm + round(chance.uniform(2000, 9000))
    face = (
        like.width * chance.lognormvariate(0, 0.3),
        like.brightness * chance.lognormvariate(0, 0.15),
        min(1.0, chance.gauss(like.score, 0.07)),
        like.sharpness * chance.lognormvariate(0, 0.5),
        min(1.0, like.disagreement * chance.lognormvariate(0, 0.6)),
        chance.gauss(like.place[0], 0.12),
        chance.gauss(like.place[1], 0.06),
    )
    times = (entered, decided, alarm, cleared, ended)
    return ("", 1, *times, outcome, label, violated, 20, *(round(each, 3) for each in face), chance.choice(evidence))


def _evidence(chance: random.Random) -> bytes:
    count = chance.randint(8, 30)
    return packed(
        [Weighed(0.1 * i, chance.uniform(0.3, 1), True, ((p := chance.random()), 1 - p, 0.0)) for i in range(count)]
    )


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)

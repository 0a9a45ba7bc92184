"""What is measured of a hub and its doors. Each function measures one thing and returns its :class:`Finding`."""

from __future__ import annotations

import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from simulation.fleet import tables
from simulation.fleet.faults import EVENTS
from simulation.fleet.hub import Hub, HubError
from simulation.fleet.reader import Reader
from simulation.fleet.tables import Delays
from simulation.fleet.usage import Load, loads, read
from simulation.fleet.workers import Doors

VISIBLE_S, ALERT_S = 15.0, 60.0
"""Longest time until a door is visible after its start, and until its alert has arrived."""
POLL_S = 0.25
SPREAD_S = 15.0
"""Events of one round begin at random times within this: no phase of a scrape is preferred."""
SETTLE_S = 90.0
"""Time after the end of a round's events: alerts that are kept for a minute have ended."""
MAX_FAILED = 0.001
"""Largest share of scrapes without an answer at a hub that holds."""
HEARTBEAT = "heartbeat"
"""Severity of an alert that fires while all is well."""
TOPICS = ("status", "state", "state/hall", "arming", "arming/set", "decision", "health", "metrics", "build", "picture")
"""Topics below a door's own that a stolen credential tries."""


class Finding(NamedTuple):
    """What was measured, as text for people, and whether it is within its limits."""

    text: str
    passed: bool


def wait_until(seen: Callable[[], bool], within_s: float) -> bool:
    """Poll until ``seen``; return whether it came in time."""
    until_s = time.monotonic() + within_s
    while not (found := seen()) and time.monotonic() < until_s:
        time.sleep(POLL_S)
    return found


def wait_for_all(hub: Hub, doors: Doors, within_s: float = 120.0) -> bool:
    """Wait until Prometheus has read every door and each one's messages reach the broker."""
    ready = "count(up{job='fmd'} == 1 and on (door) fmd_messages_failing == 0)"
    return wait_until(lambda: _value(hub, ready) == len(doors.plans), within_s)


def visible(hub: Hub, doors: Doors, reader: Reader) -> Finding:
    """Measure the time from each door's start until Prometheus has read it and the broker retains its state."""
    started, up_s = doors.started_s(), dict[str, float]()

    def look() -> bool:
        at_s = time.monotonic()
        for labels, _ in hub.query("up{job='fmd'} == 1"):
            up_s.setdefault(labels["door"], at_s)
        return all(door in up_s and reader.seen_s(door) is not None for door in started)

    wait_until(look, 4 * VISIBLE_S)
    scraped = Delays("read by Prometheus", [_after(up_s.get(door), at_s) for door, at_s in started.items()])
    known = Delays("state at the broker", [_after(reader.seen_s(door), at_s) for door, at_s in started.items()])
    passed = all(not delays.missed and delays.came[-1] <= VISIBLE_S for delays in (scraped, known))
    text = tables.table(("a door is", "doors", *tables.DELAYS[2:]), [scraped.row(), known.row()])
    return Finding(text, passed)


def _after(at_s: float | None, began_s: float) -> float | None:
    return None if at_s is None else max(0.0, at_s - began_s)


def alerts(hub: Hub, doors: Doors, rounds: int, seed: int = 1) -> Finding:
    """Measure the time from each event until the webhook has its alert; each round gives every event another door.

    It needs as many doors that are alone as there are events.
    """
    alone = [name for name, plan in doors.plans.items() if plan.alone]
    delays: dict[str, list[float | None]] = {event: [] for event in EVENTS}
    for number in range(rounds):
        doors_of = {event: alone[(i + number) % len(alone)] for i, event in enumerate(EVENTS)}
        for event, delay in _round(hub, doors, doors_of, random.Random(seed + number)).items():
            delays[event].append(delay)
        print(f"round {number + 1} of {rounds}: {_in_words({e: d[-1] for e, d in delays.items()})}", flush=True)
        for event, door in doors_of.items():
            EVENTS[event].end(doors, door)
        time.sleep(SETTLE_S)
    found = [Delays(event, seconds) for event, seconds in delays.items()]
    rows = [[*delay.row(), EVENTS[delay.name].alert] for delay in found]
    passed = all(not delay.missed and delay.came[-1] <= ALERT_S for delay in found)
    return Finding(tables.table((*tables.DELAYS, "alert"), rows), passed)


def _round(hub: Hub, doors: Doors, doors_of: Mapping[str, str], rng: random.Random) -> dict[str, float | None]:
    waits = {event: rng.uniform(0, SPREAD_S) for event in doors_of}

    def happen(event: str) -> float | None:
        time.sleep(waits[event])
        began_s, door = time.monotonic(), doors_of[event]
        EVENTS[event].begin(doors, door)
        if (since_s := EVENTS[event].since_s) is not None:
            wait_until(lambda: since_s(doors, door) is not None, 2 * ALERT_S)
            began_s = since_s(doors, door) or began_s
        return hub.webhook.wait_for(EVENTS[event].alert, door, began_s, 2 * ALERT_S)

    with ThreadPoolExecutor(len(doors_of)) as pool:
        return dict(zip(doors_of, pool.map(happen, doors_of), strict=True))


def _in_words(delays: Mapping[str, float | None]) -> str:
    return ", ".join(f"{event} {'missed' if delay is None else f'{delay:.0f} s'}" for event, delay in delays.items())


@dataclass(frozen=True)
class HubLoad:
    """Load of a hub with a number of doors.

    ``failed`` is the share of scrapes without an answer, ``missed_s`` the evaluations that Prometheus left out, per
    second, and ``unsent`` the number of doors whose messages the broker does not take.
    """

    doors: int
    loads: Mapping[str, Load]
    messages_s: float
    samples_s: float
    series: float
    doors_cores: float
    failed: float
    missed_s: float
    unsent: float

    @property
    def holds(self) -> bool:
        """Whether every evaluation took place, every door sends, and next to no scrape failed."""
        return self.failed <= MAX_FAILED and not self.missed_s and not self.unsent

    def row(self) -> list[str]:
        """Return the cells of the table."""
        each = [f"{load.cores:.3f}" for load in self.loads.values()]
        memory = [f"{load.memory_bytes / 1e6:.0f}" for load in self.loads.values()]
        rates = [f"{self.messages_s:.1f}", f"{self.samples_s:.0f}", f"{self.series:.0f}"]
        held = [f"{100 * self.failed:.2f}", "yes" if self.holds else "no"]
        return [str(self.doors), *each, *memory, *rates, f"{self.doors_cores:.2f}", *held]


def load_head(processes: Sequence[str]) -> list[str]:
    """Return the head of the table of :meth:`HubLoad.row`."""
    return [
        "doors",
        *(f"{name}, cores" for name in processes),
        *(f"{name}, MB" for name in processes),
        *("messages/s", "samples/s", "series", "doors, cores", "failed scrapes, %", "holds"),
    ]


def load(hub: Hub, doors: Doors, warm_s: float, for_s: float) -> HubLoad:
    """Measure the load of every process of the hub over ``for_s``, after ``warm_s`` with all doors.

    Raises HubError if the doors do not all connect in time.
    """
    if not wait_for_all(hub, doors):
        raise HubError(f"{len(doors.plans)} doors: some are still not connected; too many doors for this machine?")
    time.sleep(warm_s)
    before, doors_before, counts = hub.readings(), [read(pid) for pid in doors.pids], _counts(hub)
    began_s = time.monotonic()
    time.sleep(for_s)
    after, doors_after, later = hub.readings(), [read(pid) for pid in doors.pids], _counts(hub)
    took_s = time.monotonic() - began_s
    rates = {name: (later[name] - counts[name]) / took_s for name in counts}
    return HubLoad(
        doors=len(doors.plans),
        loads=loads(before, after),
        messages_s=rates["messages"],
        samples_s=rates["samples"],
        series=later["series"],
        doors_cores=sum(now.cpu_s - then.cpu_s for then, now in zip(doors_before, doors_after, strict=True)) / took_s,
        failed=1 - _value(hub, f"avg(avg_over_time(up{{job='fmd'}}[{int(for_s)}s]))"),
        missed_s=rates["missed"],
        unsent=_value(hub, "count(fmd_messages_failing == 1)"),
    )


def _counts(hub: Hub) -> dict[str, float]:
    own = hub.metrics()
    return {
        "messages": _value(hub, "sum(fmd_messages_sent_total)"),
        "samples": own["prometheus_tsdb_head_samples_appended_total"],
        "series": own["prometheus_tsdb_head_series"],
        "missed": own["prometheus_rule_group_iterations_missed_total"],
    }


def _value(hub: Hub, expression: str) -> float:
    """Return the only value of an expression; 0 if it has none."""
    return next((value for _, value in hub.query(expression)), 0.0)


def growth(found: Sequence[HubLoad]) -> str:
    """Return how the load grows with the number of doors: what one more adds, and the exponent."""
    counts = [float(one.doors) for one in found]
    rows = []
    for name in found[0].loads:
        cores = [one.loads[name].cores for one in found]
        memory = [one.loads[name].memory_bytes / 1e6 for one in found]
        powers = [f"{tables.exponent(counts, values):.2f}" if min(values) > 0 else "-" for values in (cores, memory)]
        more = [f"{100 * tables.per_door(counts, cores):.3f}", f"{tables.per_door(counts, memory):.2f}"]
        rows.append([name, *more, *powers])
    return tables.table(("one more door adds to", "% of a core", "MB", "cores ~ doors^", "MB ~ doors^"), rows)


def cut(doors: Doors, reader: Reader, cut_doors: Sequence[str], for_s: float) -> Finding:
    """Cut the network of some doors for ``for_s``; check that every decision of that time arrives after it."""
    for name in cut_doors:
        doors.set_wire(name, "cut")
    began_s, before = time.monotonic(), doors.decided()
    time.sleep(for_s)
    # At a door that is cut for seconds nobody may have come yet.
    wait_until(lambda: any(len(doors.decided()[name]) > len(before[name]) for name in cut_doors), 60.0)
    meanwhile = doors.decided()
    for name in cut_doors:
        doors.set_wire(name, "up")
    up_s = time.monotonic()
    made = {name: meanwhile[name][len(before[name]) :] for name in cut_doors}
    arrived = _arrivals(reader, made, up_s)
    lost = {name: tables.lost_and_repeated(ids, reader.decided().get(name, Counter())) for name, ids in made.items()}
    total, gone = sum(map(len, made.values())), sum(len(missing) for missing, _ in lost.values())
    rows = [
        ["doors cut", str(len(cut_doors))],
        ["time without network", f"{up_s - began_s:.0f} s"],
        ["decisions in that time", str(total)],
        ["lost", str(gone)],
        ["delivered twice", str(sum(twice for _, twice in lost.values()))],
        ["time from the network's return to the last one", "-" if arrived is None else f"{arrived:.0f} s"],
    ]
    return Finding(tables.table(("network cut", ""), rows), total > 0 and gone == 0)


def _arrivals(reader: Reader, made: Mapping[str, Sequence[str]], up_s: float) -> float | None:
    """Wait until all these decisions have arrived; return how long after ``up_s``, None if some never do."""

    def complete() -> bool:
        arrived = reader.decided()
        return all(arrived.get(name, Counter())[one] for name, ids in made.items() for one in ids)

    return time.monotonic() - up_s if wait_until(complete, 240.0) else None


def stolen(hub: Hub, doors: Doors, reader: Reader, thief: str) -> Finding:
    """Try to write every door's topics with the credential of one door, and to read them."""
    doors.stop(thief)  # the door is gone with its card
    marker, heard = secrets.token_hex(16).encode(), Counter[str]()
    reader.mark(marker)

    def hear(topic: str) -> None:
        heard[topic.split("/")[1]] += 1

    topics = ["fmd/#", *(f"fmd/{name}/#" for name in doors.plans)]
    client = hub.access(thief).connect(topics, lambda message: hear(message.topic))
    others = [name for name in doors.plans if name != thief]
    tried = [f"fmd/{name}/{topic}" for name in others for topic in TOPICS]
    for topic in tried:
        client.publish(topic, marker, qos=1).wait_for_publish(10.0)
    # The broker works through a connection in order: when this one has arrived, all others would have.
    client.publish(f"fmd/{thief}/health", marker, qos=1).wait_for_publish(10.0)
    own = wait_until(lambda: f"fmd/{thief}/health" in reader.heard(), 15.0)
    time.sleep(2.0)
    client.disconnect()
    client.loop_stop()
    written = [topic for topic in reader.heard() if not topic.startswith(f"fmd/{thief}/")]
    seen = sum(count for name, count in heard.items() if name != thief)
    doors.start(thief)
    rows = [
        ["doors whose topics were tried", str(len(others))],
        ["messages to their topics", str(len(tried))],
        ["of these, arrived", str(len(written))],
        ["messages of other doors that it read", str(seen)],
        ["its own topic, as a check", "arrived" if own else "did not arrive"],
    ]
    return Finding(tables.table(("stolen credential", ""), rows), own and not written and not seen)


def quiet(hub: Hub, doors: Doors, for_s: float) -> Finding:
    """Let the doors work for ``for_s``, and count alerts; no door has a fault, so each is a false one."""
    wait_for_all(hub, doors)
    began_s, people = time.monotonic(), sum(map(len, doors.decided().values()))
    time.sleep(for_s)
    firing = [a for a in hub.webhook.arrivals if a.at_s >= began_s and a.status == "firing"]
    false = Counter(f"{a.alert} {a.labels.get('door', '')}".strip() for a in firing if not _is_heartbeat(a.labels))
    people = sum(map(len, doors.decided().values())) - people
    rows = [
        ["doors", str(len(doors.plans))],
        ["minutes", f"{for_s / 60:.0f}"],
        ["decisions", str(people)],
        ["false alerts", str(len(false))],
    ]
    text = tables.table(("quiet time", ""), [*rows, *disk(hub, len(doors.plans))])
    return Finding("\n".join([text, *(f"{what}: {count} times" for what, count in false.items())]), not false)


def _is_heartbeat(labels: Mapping[str, str]) -> bool:
    return labels.get("severity") == HEARTBEAT


def disk(hub: Hub, doors: int) -> Iterator[list[str]]:
    """Yield rows with the size of Prometheus' data: measured on a snapshot, which is a block as it keeps them."""
    name = hub.ask("/api/v1/admin/tsdb/snapshot", "POST")["data"]["name"]
    folder = hub.folder / "tsdb" / "snapshots" / name
    size, meta = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()), hub.blocks(folder)
    samples, span_s = (
        sum(one["stats"]["numSamples"] for one in meta),
        (max(one["maxTime"] for one in meta) - min(one["minTime"] for one in meta)) / 1000,
    )
    yield ["bytes per sample in a block", f"{size / samples:.2f}"]
    yield ["samples per door and second", f"{samples / span_s / doors:.1f}"]
    yield ["MB per door and day", f"{size / span_s / doors * 86_400 / 1e6:.2f}"]


def restart(hub: Hub, doors: Doors, for_s: float) -> Finding:
    """Stop the broker for ``for_s``; measure how long all doors take to come back, and the broker's load meanwhile."""
    broker = hub.children["mosquitto"]
    broker.stop()
    time.sleep(for_s)
    broker.start()
    began_s, before = time.monotonic(), read(broker.pid)
    back = wait_until(lambda: hub.connections() >= len(doors.plans), 240.0)
    took_s, after = time.monotonic() - began_s, read(broker.pid)
    sent = wait_until(lambda: _value(hub, "count(fmd_messages_failing == 0)") == len(doors.plans), 240.0)
    rows = [
        ["doors", str(len(doors.plans))],
        ["broker stopped for", f"{for_s:.0f} s"],
        ["all doors connected after", f"{took_s:.1f} s" if back else "never"],
        ["processor time of the broker meanwhile", f"{after.cpu_s - before.cpu_s:.2f} s"],
        ["all doors send again after", f"{time.monotonic() - began_s:.0f} s" if sent else "never"],
    ]
    return Finding(tables.table(("broker restart", ""), rows), back and sent)

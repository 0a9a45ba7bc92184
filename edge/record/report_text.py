"""A report as text for a terminal, a mail, or a message."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from edge.files import begins_with
from edge.record.compliance import Estimate
from edge.record.hours import FIELDS, Sums
from edge.record.report import Bin, Report
from edge.text import escaped

COLUMNS = ("hour", "camera", "passages", *FIELDS)
"""Heading of the table."""
BAR = 24
"""Width of the longest bar, in characters."""


def text(report: Report, door: str) -> str:
    """Return the report as lines of at most 100 characters. ``door`` is the door's name."""
    sums = report.sums
    lines = [headline(report, door), ""]
    if not sums.passages:
        lines.append("Nobody with a decision passed in this time.")
    else:
        lines += [
            f"  passages    {sums.passages:6,}   {_change(sums.passages, report.previous.passages)}",
            f"  compliant   {sums.compliant:6,}   {share_line(report)}",
            f"  violated    {sums.violated:6,}   {_violated(report)}",
            f"  unsure      {sums.unsure:6,}   not counted in the shares",
        ]
    lines += ["", f"  {watched_line(report)}"]
    if report.without_clock:
        lines.append(f"  passages not included, as the clock was not set: {report.without_clock:,}")
    lines += [f"  Attention: {warning}" for warning in report.warnings]
    for title, bins in (("by hour of the day", report.by_hour), ("by weekday", report.by_day)):
        if len(bins) > 1:
            lines += ["", f"  {title}: compliant and violated passages", *_chart(bins)]
    return "\n".join(lines) + "\n"


def headline(report: Report, door: str) -> str:
    """Return door, period, and until when it has been reported."""
    camera = f", camera {report.camera}" if report.camera else ""
    until = datetime.fromisoformat(report.ended)
    return f"{door}{camera}: {report.title} (until {until:%d %b %H:%M})"


def share_line(report: Report) -> str:
    """Return the compliance as measured and as corrected, with intervals."""
    measured = estimate(report.measured)
    corrected = estimate(report.corrected) if report.corrected else report.not_corrected
    note = f" ({report.not_corrected})" if report.corrected and report.not_corrected else ""
    return f"{measured} of the decided; corrected for known errors: {corrected}{note}"


def estimate(found: Estimate | None) -> str:
    """Return a share with its interval, such as "91.2% (89.0 to 93.1%)"."""
    return "none" if found is None else f"{found.share:.1%} ({found.low * 100:.1f} to {found.high:.1%})"


def watched_line(report: Report) -> str:
    """Return how long nobody watched, which stands beside every figure: a dead camera shows no violation either."""
    sums, unwatched = report.sums, unwatched_ms(report)
    total = sums.watched_ms + unwatched
    if not total:
        return "Nothing was watched in this time."
    parts = {"blind": sums.blind_ms, "dark": sums.dark_ms, "disarmed": sums.disarmed_ms, "stopped": report.stopped_ms}
    reasons = ", ".join(f"{name} {duration(ms)}" for name, ms in parts.items() if ms >= 60_000)
    return f"watched {duration(sums.watched_ms)} of {duration(total)}" + (f"; {reasons}" if reasons else "")


def unwatched_ms(report: Report) -> int:
    """Return the milliseconds in which a person could have passed unseen."""
    return report.sums.blind_ms + report.sums.dark_ms + report.sums.disarmed_ms + report.stopped_ms


def duration(ms: int) -> str:
    """Return a duration as hours and minutes, such as "12 h 05 min"."""
    minutes = round(ms / 60_000)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def table(rows: Iterable[tuple[str, str, Sums]]) -> str:
    """Return rows of (begin of the hour, camera, sums) as CSV with a heading."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for hour, camera, sums in rows:
        writer.writerow([hour, escaped(camera), sums.passages, *(getattr(sums, name) for name in FIELDS)])
    return out.getvalue()


def is_table(path: Path) -> bool:
    """Return whether a file is such a CSV: its heading is the same. Raises OSError if it cannot be read."""
    return begins_with(path, ",".join(COLUMNS).encode())


def _violated(report: Report) -> str:
    sums = report.sums
    parts = [f"{sums.badly_worn:,} badly worn"]
    if report.put_on_s is not None:
        parts.append(f"{sums.put_on:,} put a mask on after the alarm, {report.put_on_s:.0f} s later on average")
    return ", ".join(parts)


def _change(now: int, before: int) -> str:
    return f"the period before: {before:,}" if before else "no passages in the period before"


def _chart(bins: Iterable[Bin]) -> list[str]:
    bins = list(bins)
    most = max(bin.sums.judged for bin in bins) or 1
    width = max(len(bin.name) for bin in bins)
    lines = []
    for each in bins:
        good = round(BAR * each.sums.compliant / most)
        bad = max(round(BAR * each.sums.violated / most), int(each.sums.violated > 0))
        share = f"{each.sums.compliant / each.sums.judged:.0%}" if each.sums.judged else ""
        bar = "█" * good + "░" * bad
        lines.append(f"    {each.name:{width}}  {bar:{BAR + 1}} {share:>4} of {each.sums.judged:,}")
    return lines

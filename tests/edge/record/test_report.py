"""Reports from a simulated record."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from edge.record import database, hours, notes, periods, report, report_html, report_text
from edge.record.report import Report
from edge.record.rows import RunRow, SpanState
from tests.edge.parts import fmd
from tests.edge.record.parts import Clock, passage, violation
from tests.edge.record.year import CONFUSION, Day, write_days

BEGAN = datetime(2026, 1, 5).astimezone()
"""A Monday."""
POOR = msgspec.structs.replace(CONFUSION, passage=((1, 1, 1), (1, 1, 1), (8, 2, 90)))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a record of two weeks with 200 passages a day, 88% and 92% compliant, Sundays closed."""
    folder = tmp_path_factory.mktemp("state")
    write_days(
        folder,
        BEGAN,
        14,
        lambda day: Day(0 if day % 7 == 6 else 200, compliant=0.88 if day < 7 else 0.92, watched=day % 7 != 6),
    )
    return folder


def made(folder: Path, period: periods.Period, now: datetime | None = None) -> Report:
    with closing(database.open_for_reading(folder)) as connection:
        return report.make(connection, period, now or BEGAN + timedelta(days=14))


def test_the_figures_of_a_week_and_of_the_week_before(state: Path) -> None:
    found = made(state, periods.week(BEGAN + timedelta(days=9)))
    with closing(sqlite3.connect(state / database.NAME)) as connection:
        monday = round((BEGAN + timedelta(days=7)).timestamp() * 1000)
        [(passages, violated, unsure)] = connection.execute(
            "SELECT count(*), sum(violated), sum(outcome = 'unsure') FROM passages WHERE ended >= ?", (monday,)
        ).fetchall()
    assert (found.sums.passages, found.sums.violated, found.sums.unsure) == (passages, violated, unsure)
    assert found.measured is not None
    assert found.measured.low < 0.92 < found.measured.high
    assert found.previous_measured is not None
    assert found.previous_measured.low < 0.88 < found.previous_measured.high
    assert found.corrected is not None
    # The matrix misses 3% of the compliant: the corrected share is higher than the measured one.
    assert found.corrected.share > found.measured.share
    assert found.put_on_s == pytest.approx(5.5, abs=1.5)


def test_time_without_a_watch_stands_beside_every_figure(state: Path) -> None:
    found = made(state, periods.week(BEGAN + timedelta(days=9)))
    assert found.sums.watched_ms == 6 * 12 * hours.HOUR_MS
    assert found.stopped_ms == (7 * 24 - 6 * 12) * hours.HOUR_MS
    line = "fmd watched 72 h 00 min of the 168 h 00 min that it should have (43%). Not watched: stopped 96 h 00 min."
    assert line in " ".join(report_text.text(found, "door").split())
    page = report_html.page(found, "door")
    assert line in page
    assert "stopped 96 h 00 min" in page


def test_half_a_week_is_compared_with_half_a_week(state: Path) -> None:
    now = BEGAN + timedelta(days=9)
    found = made(state, periods.week(now), now)
    assert found.previous.passages == pytest.approx(400, rel=0.2)
    assert found.ended == now.isoformat(timespec="minutes")


def test_the_sums_give_the_same_report_as_the_passages(state: Path, tmp_path: Path) -> None:
    period = periods.week(BEGAN + timedelta(days=9))
    shutil.copy(state / database.NAME, tmp_path)
    with closing(sqlite3.connect(tmp_path / database.NAME)) as connection:
        connection.execute("DELETE FROM hours")
        connection.commit()
    assert made(tmp_path, period) == made(state, period)


def test_hours_with_few_passages_are_merged(tmp_path: Path) -> None:
    clock = Clock(wall_s=(BEGAN + timedelta(hours=7)).timestamp())
    record = clock.record(tmp_path)
    for hour, count in enumerate([3, 1, 6, 9, 2]):
        for _ in range(count):
            record.add_passage(passage(1 + record._events, clock.wall_s))
            record.add("decision")
        clock.forward(3600)
        assert hour < 5
    record.close()
    with closing(sqlite3.connect(tmp_path / database.NAME)) as connection:
        ids = connection.execute("SELECT count(*) FROM passages").fetchone()[0]
    assert ids == 21
    found = made(tmp_path, periods.day(BEGAN), BEGAN + timedelta(days=1))
    assert [(each.name, each.sums.passages) for each in found.by_hour] == [
        ("07:00 to 10:00", 10),
        ("10:00 to 12:00", 11),
    ]


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (RunRow(classifier="abc", compliant="with_mask"), "not available: this model states no confusion matrix"),
        (
            RunRow(
                classifier="abc",
                compliant="with_mask",
                confusion=msgspec.json.encode(CONFUSION)
                .decode()
                .replace("970,15,15", "1,1,1")
                .replace("8,488,4", "1,1,1"),
            ),
            "not available: the model's confusion matrix is too poor",
        ),
    ],
)
def test_why_there_is_no_corrected_figure(tmp_path: Path, run: RunRow, said: str) -> None:
    clock = Clock(wall_s=(BEGAN + timedelta(hours=9)).timestamp())
    record = clock.record(tmp_path)
    record.begin_run(run)
    record.add_passage(passage(1, clock.wall_s))
    record.add_passage(violation(2, clock.wall_s))
    record.close()
    found = made(tmp_path, periods.day(BEGAN), BEGAN + timedelta(days=1))
    assert (found.corrected, found.not_corrected) == (None, said)


def test_a_changed_camera_withholds_the_corrected_figure(state: Path, tmp_path: Path) -> None:
    shutil.copy(state / database.NAME, tmp_path)
    with closing(sqlite3.connect(tmp_path / database.NAME)) as connection:
        since = round(BEGAN.timestamp() * 1000)
        notes.write(connection, notes.DRIFT, [notes.Finding("", "width", True, since, "faces are 30% smaller")])
        connection.commit()
    found = made(tmp_path, periods.week(BEGAN + timedelta(days=9)))
    assert found.corrected is None
    assert found.not_corrected.startswith("withheld")
    text = report_text.text(found, "door")
    assert "Attention: faces are 30% smaller" in text
    assert "No comparison with the week before: the camera has changed" in text


def test_an_empty_record_gives_a_report_and_no_error(tmp_path: Path) -> None:
    record = Clock().record(tmp_path)
    record.span("", SpanState.WATCHING)
    record.close()
    found = made(tmp_path, periods.day(BEGAN))
    assert "This report is empty. The record has nothing from this time." in report_text.text(found, "door")


def test_an_empty_page_says_why_first_and_shows_no_verdict(tmp_path: Path) -> None:
    clock = Clock(wall_s=(BEGAN + timedelta(hours=9)).timestamp(), right=False)
    record = clock.record(tmp_path)
    for number in range(4):
        record.add_passage(passage(1 + number, clock.wall_s))
    record.add_passage(passage(5, clock.wall_s, outcome="picture"))
    record.close()
    found = made(tmp_path, periods.day(BEGAN), BEGAN + timedelta(days=1))
    page = report_html.body(found, "door")
    why = "This report is empty. 4 people passed while fmd could not confirm the board&#x27;s clock"
    assert page.split('<p class="')[2].startswith(f'verdict">{why}')
    assert "<svg" not in page
    assert "This report is empty. 4 people passed" in report_text.text(found, "door")


def test_the_comparison_of_the_weeks_stands_above_the_figures(state: Path) -> None:
    page = report_html.body(made(state, periods.week(BEGAN + timedelta(days=9))), "door")
    said = re.search(
        r'"verdict better">Better: 9\d of 100 people wore a mask well, up from 8\d in the week before', page
    )
    assert said is not None
    assert said.start() < page.index('class="big"')


def test_only_a_change_has_a_colour_and_no_figure_has_one(state: Path) -> None:
    """A green figure reads as a good one, also if fewer people wore a mask than before."""
    found = made(state, periods.week(BEGAN + timedelta(days=9)))
    swapped = {"measured": found.previous_measured, "previous_measured": found.measured}
    alike = {"measured": found.measured, "previous_measured": found.measured}
    for changed, colour in ((swapped, "worse"), (alike, "")):
        page = report_html.body(msgspec.structs.replace(found, **changed), "door")
        assert f'<p class="verdict {colour}">' in page
        figures = page.partition('<div class="big">')[2].partition("<h2>")[0]
        assert set(re.findall(r'class="(\w+)"', figures)) == {"note"}


def test_the_numbers_of_the_tiles_add_up(state: Path) -> None:
    page = report_html.body(made(state, periods.week(BEGAN + timedelta(days=9))), "door")
    tiles = re.findall(r'<div><b>([\d,]+)</b>[^<]*<div class="note">([^<]*)', page)
    (passed, parts), (violated, ends) = [(int(figure.replace(",", "")), note) for figure, note in tiles]
    assert sum(numbers(parts.partition(". The week")[0])) == passed
    assert sum(numbers(re.sub(r"\d+ s later on average", "", ends))) == violated > 0


def numbers(text: str) -> list[int]:
    return [int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*", text)]


def test_the_legend_names_each_colour_of_the_bar(state: Path) -> None:
    page = report_html.body(made(state, periods.week(BEGAN + timedelta(days=9))), "door")
    found = re.findall(r'<li><svg[^>]*><rect class="(\w)"[^>]*></svg> (\w+) ', page)
    assert [name for _, name in found] == ["watched", "disarmed", "blind", "dark", "stopped"]
    bar = page[page.index("<h2>Did fmd watch?") : page.index('<ul class="key"')]
    colours = {name: colour for colour, name in found}
    assert set(re.findall(r'<rect class="(\w)"', bar)) == {colours["watched"], colours["stopped"]}


class References(HTMLParser):
    """Collects what a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        if tag in ("script", "img", "link", "iframe", "object") or names & {"src", "href", "onload", "onclick"}:
            self.found.append(tag)


def test_the_page_is_one_file_without_scripts_and_foreign_text_is_escaped(state: Path) -> None:
    page = report_html.page(made(state, periods.week(BEGAN + timedelta(days=9))), "<script>alert(1)</script>")
    parser = References()
    parser.feed(page)
    assert parser.found == []
    assert "url(" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_the_page_prints_on_one_sheet(state: Path, tmp_path: Path) -> None:
    page = tmp_path / "week.html"
    page.write_text(report_html.page(made(state, periods.week(BEGAN + timedelta(days=9))), "door"))
    options = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    folder = f"--user-data-dir={tmp_path / 'chromium'}"
    command = ["chromium", *options.split(), folder, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'w.pdf'}"]
    subprocess.run([*command, page.as_uri()], check=True, capture_output=True, timeout=120)
    assert len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "w.pdf").read_bytes())) == 1


def test_the_command_prints_and_writes_reports(state: Path, tmp_path: Path) -> None:
    found = fmd("report", "--state", state, "--week", "2026-01-14")
    assert found.returncode == 0, found.stderr
    assert "Week 03, 12 January to 18 January 2026" in found.stdout
    assert "of those judged; corrected for known errors: " in " ".join(found.stdout.split())
    found = fmd(
        "report", "--state", state, "--month", "2026-01", "--html", tmp_path / "m.html", "--csv", tmp_path / "m.csv"
    )
    assert found.returncode == 0, found.stderr
    lines = (tmp_path / "m.csv").read_text().splitlines()
    assert lines[0].startswith("hour,camera,passages,compliant,violated,")
    assert len(lines) == 1 + 12 * 12
    assert "January 2026" in (tmp_path / "m.html").read_text()
    decoded = msgspec.json.decode(fmd("report", "--state", state, "--day", "2026-01-14", "--json").stdout, type=Report)
    assert decoded.sums.passages > 100


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--day", "never"), "--day never: not a date; write 2027-01-15, 2027-01"),
        (("--week", "2027-13"), "--week 2027-13: not a date; write 2027-01-15, 2027-01"),
        (("--to", "2026-01-14"), "--to: give its beginning as well"),
        (("--from", "2026-01-14", "--to", "2026-01-13"), "swap the two"),
        (("--camera", "hall"), "--camera hall: no such camera in this time; known: only one"),
        (("--html", "/nonexistent/x.html"), "--html /nonexistent/x.html: no folder /nonexistent"),
    ],
)
def test_wrong_options_are_one_line(state: Path, options: tuple[str, ...], said: str) -> None:
    found = fmd("report", "--state", state, *options)
    assert found.returncode == 1
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_events_of_a_camera_that_is_not_there_are_an_error(state: Path) -> None:
    found = fmd("events", "--state", state, "--camera", "hall")
    assert found.returncode == 1
    assert "--camera hall: no such camera in the record; known: only one, without a name" in found.stderr

"""``fmd report``: figures of a day, a week or any time, from the service's record."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge import paths
from edge.commands import common
from edge.errors import EXIT_OK, SettingsError

if TYPE_CHECKING:
    from edge.record.periods import Period

EXAMPLES = """\
examples:
  fmd report                         this week
  fmd report --day                   today
  fmd report --month 2027-01 --html january.html
  fmd report --from 2027-01-15T08:00 --to 2027-01-15T12:00 --camera hall
  fmd report --month --csv hours.csv
"""
NOW = "now"
REPORT = "a report of fmd"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd report``."""
    add_period_options(parser)
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one HTML file, to print or to send")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a row for each hour and camera")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file, which has the door's name")
    common.add_state_option(parser)


def add_period_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that :func:`period_of` reads, and ``--camera``."""
    period = parser.add_mutually_exclusive_group()
    for name in ("day", "week", "month"):
        period.add_argument(
            f"--{name}", nargs="?", const=NOW, metavar="DATE", help=f"the {name} with this date (default: this {name})"
        )
    period.add_argument("--from", dest="began", metavar="TIME", help="from then on, as 2027-01-15 or 3d")
    parser.add_argument("--to", dest="ended", metavar="TIME", help="with --from: until then (default: now)")
    parser.add_argument("--camera", metavar="NAME", help="only of this camera, if there are several")


def run(arguments: argparse.Namespace) -> int:
    """Print the report, or write it to files."""
    import msgspec

    from edge import config
    from edge.files import write_atomically
    from edge.record import database, report, report_html, report_text

    if arguments.html:
        common.check_writable("--html", arguments.html)
        common.check_replaceable("--html", arguments.html, REPORT, report_html.is_document)
    if arguments.csv:
        common.check_writable("--csv", arguments.csv)
        common.check_replaceable("--csv", arguments.csv, "a table of fmd report", report_text.is_table)
    folder = common.existing_state(arguments.state or paths.state_folder() or paths.STATE)
    now = datetime.now().astimezone()
    period = period_of(arguments, now)
    settings = common.settings_file(arguments.config)
    door = config.door_name(config.load(settings).publish)
    with database.reading(folder) as connection:
        found = report.make(connection, period, now, arguments.camera)
        if arguments.csv:
            rows = report.rows(connection, period.began, period.ended, arguments.camera)
            write_file(arguments.csv, report_text.table(rows), write_atomically)
    if arguments.camera and arguments.camera not in found.cameras:
        raise SettingsError(f"--camera {arguments.camera}: no such camera in this time; known: {_known(folder)}")
    if arguments.html:
        write_file(arguments.html, report_html.page(found, door), write_atomically)
    if arguments.json:
        print(msgspec.json.encode(found).decode())
    elif not arguments.html and not arguments.csv:
        print(report_text.text(found, door), end="")
    return EXIT_OK


def period_of(arguments: argparse.Namespace, now: datetime) -> Period:
    """Return the period that the options name; without any it is this week. Raises SettingsError."""
    from edge.record import periods

    if arguments.began:
        ended = periods.moment(arguments.ended, now) if arguments.ended else now
        return periods.between(periods.moment(arguments.began, now), ended)
    if arguments.ended:
        raise SettingsError("--to: give its beginning as well, with --from")
    for name, make in (("day", periods.day), ("month", periods.month)):
        if (date := getattr(arguments, name)) is not None:
            return make(_day_in(name, date, now))
    return periods.week(now if arguments.week is None else _day_in("week", arguments.week, now))


def _day_in(name: str, date: str, now: datetime) -> datetime:
    """Return a moment in the period of an option. Raises SettingsError, which names the option as it was typed."""
    from edge.record import periods

    if date == NOW:
        return now
    try:
        # A month as people write it, 2027-01, begins with its first day.
        return periods.moment(f"{date}-01" if len(date) == 7 and date[4] == "-" else date, now)
    except SettingsError as error:
        raise SettingsError(
            f"--{name} {date}: not a date; write 2027-01-15, 2027-01, today, yesterday or monday"
        ) from error


def write_file(path: Path, text: str, write: Callable[[Path, bytes], None]) -> None:
    """Write a file that the user named, and print its name. Raises SettingsError."""
    try:
        write(path, text.encode())
    except OSError as error:
        raise SettingsError(f"{path}: cannot write the report: {error.strerror}") from error
    print(f"{path}: written")


def _known(folder: Path) -> str:
    from edge.record import database

    with database.reading(folder) as connection:
        return ", ".join(database.cameras(connection)) or "only one, without a name"

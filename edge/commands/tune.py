"""``fmd tune``: what other settings would have made of the recorded passages."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edge import paths
from edge.commands import common, report
from edge.errors import EXIT_OK, SettingsError

if TYPE_CHECKING:
    from edge.config import Settings
    from edge.record.replay import Recorded
    from edge.record.tune import Effect

EXAMPLES = """\
It decides the recorded passages again, by the same code as at the door. No
setting is changed: put what you like into /etc/fmd/fmd.toml.

examples:
  fmd tune decide.error_rate=0.01 decide.on_unsure=alarm --week
  fmd tune decide.error_rate=0.0001..0.1 --month --html curve.html
"""
STEPS = 9
COLUMNS = ("alarms", "signals", "compliant", "unsure", "undecided", "alarm_s", "slow_alarm_s")
HEADINGS = ("alarms", "signals", "compliant", "unsure", "undecided", "s to alarm", "95% within")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd tune``."""
    parser.add_argument(
        "settings",
        nargs="+",
        metavar="KEY=VALUE",
        help="a setting of [decide] to try; KEY=LOW..HIGH tries values in between",
    )
    report.add_period_options(parser)
    parser.add_argument("--html", type=Path, metavar="FILE", help="draw the curve of KEY=LOW..HIGH")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings to compare with (default: the service's)")
    common.add_state_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the effect of the present settings and of the others."""
    from edge import config
    from edge.files import write_atomically
    from edge.record import database, replay, report_html, tune, tune_html

    if arguments.html:
        common.check_writable("--html", arguments.html)
        common.check_replaceable("--html", arguments.html, report.REPORT, report_html.is_document)
    folder = common.existing_state(arguments.state or paths.state_folder() or paths.STATE)
    file = common.settings_file(arguments.config)
    present = config.load(file)
    changed, sweep = _parsed(arguments.settings)
    trials = [(_shown(changed, sweep, value), _with(file, changed, sweep, value)) for value in _values(sweep)]
    period = report.period_of(arguments, datetime.now().astimezone())
    since, until = (round(moment.timestamp() * 1000) for moment in (period.began, period.ended))
    with database.reading(folder) as connection:
        passages = list(replay.recorded(connection, since, until, arguments.camera))
    if not passages:
        raise SettingsError(f"{folder}: no passages with evidence in this time ({period.title}); try --month")
    _check_labels(passages, [present, *(settings for _, settings in trials)])
    effects = [("now", tune.effect(passages, present.decide))]
    effects += [(name, tune.effect(passages, settings.decide)) for name, settings in trials]
    count = len(passages)
    print(f"{period.title}: {count:,} {'passage' if count == 1 else 'passages'} with evidence")
    print(table(effects))
    if len(trials) == 1:
        others = tune.differing(passages, present.decide, trials[0][1].decide)
        print(f"{len(others):,} of {count:,} would have been decided otherwise")
    if arguments.html:
        if sweep is None:
            raise SettingsError("--html: draws a curve, which needs a range such as decide.error_rate=0.0001..0.1")
        report.write_file(arguments.html, tune_html.page(sweep[0], effects, period.title), write_atomically)
    return EXIT_OK


def table(effects: list[tuple[str, Effect]]) -> str:
    """Return a row for each choice of settings, with aligned columns."""
    width = max(len(name) for name, _ in effects)
    lines = [" " * width + "".join(f"{heading:>12}" for heading in HEADINGS)]
    for name, each in effects:
        values = (getattr(each, column) for column in COLUMNS)
        cells = ("-" if v is None else f"{v:.2f}" if isinstance(v, float) else f"{v:,}" for v in values)
        lines.append(f"{name:{width}}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


Sweep = tuple[str, float, float]


def _parsed(texts: list[str]) -> tuple[dict[str, object], Sweep | None]:
    """Return the settings to try, and the one that has a range of values. Raises SettingsError."""
    from edge import config

    changed: dict[str, object] = {}
    sweep: Sweep | None = None
    for text in texts:
        key, value = config.parse_assignment(text)
        if not key.startswith("decide."):
            raise SettingsError(
                f"{key}: only settings of [decide] can be tried; the record begins after the classifier"
            )
        if isinstance(value, str) and ".." in value:
            if sweep is not None:
                raise SettingsError(f"{text}: a second range; try one at a time")
            sweep = (key, *_range(text, value))
        else:
            changed[key] = value
    return changed, sweep


def _range(text: str, value: str) -> tuple[float, float]:
    low, _, high = value.partition("..")
    try:
        found = float(low), float(high)
    except ValueError as error:
        raise SettingsError(f"{text}: expected two numbers, as in decide.error_rate=0.001..0.1") from error
    if not found[0] < found[1]:
        raise SettingsError(f"{text}: expected the smaller number first")
    return found


def _values(sweep: Sweep | None) -> list[float | None]:
    """Return the values of a range: evenly spaced, or by equal factors if it spans more than a factor of ten."""
    if sweep is None:
        return [None]
    _, low, high = sweep
    if low > 0 and high / low > 10:
        return [float(f"{low * (high / low) ** (step / (STEPS - 1)):.3g}") for step in range(STEPS)]
    return [float(f"{low + (high - low) * step / (STEPS - 1):.4g}") for step in range(STEPS)]


def _with(file: Path | None, changed: dict[str, object], sweep: Sweep | None, value: float | None) -> Settings:
    from edge import config

    return config.load(file, {**changed, **({sweep[0]: value} if sweep else {})})


def _shown(changed: dict[str, object], sweep: Sweep | None, value: float | None) -> str:
    if sweep is not None:
        return f"{sweep[0]}={value:g}"
    return ", ".join(f"{key}={each}" for key, each in changed.items())


def _check_labels(passages: list[Recorded], trials: list[Settings]) -> None:
    known = set(passages[-1].labels)
    for settings in trials:
        if unknown := set(settings.decide.accept) - known:
            raise SettingsError(f"decide.accept: {sorted(unknown)}: no label of the model; it has {sorted(known)}")

"""``fmd config``: print the settings in effect and the layer that sets each, or change some through the running fmd."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from edge import paths
from edge.commands import common
from edge.errors import EXIT_OK, SettingsError, naming_stdout

if TYPE_CHECKING:
    from edge.config import Layers
    from edge.settings import Setting

EXAMPLES = """\
examples:
  sudo fmd config                      every setting of the service, and its origin
  sudo fmd config alert                those of a section
  sudo fmd config alert.led_pin        one setting, with its meaning and layers
  sudo fmd config diff                 what differs from the defaults
  fmd config --config mine.toml --json
  sudo fmd config set watch.contrast=8 decide.on_unsure=alarm
  sudo fmd config reset watch.contrast
  sudo fmd config reset all            back to the settings file
"""
DIFF, SET, RESET = "diff", "set", "reset"
ACCESS = {
    "editable": "in the settings file, and through the running fmd",
    "needs_confirmation": "in the settings file, and after a confirmation through the running fmd",
    "read_only": "in the settings file only",
    "secret": "in the settings file only; its value is never shown",
}
"""Who may change a setting, in words."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd config``."""
    parser.add_argument(
        "what",
        nargs="?",
        metavar="WHAT",
        help="a setting (section.key), a section, diff (what differs from the defaults), set or reset",
    )
    parser.add_argument(
        "changes", nargs="*", metavar="KEY", help="with set: KEY=VALUE; with reset: KEY, or all; fmd must be running"
    )
    parser.add_argument("--yes", action="store_true", help="with set and reset: confirm pins, drivers and the like")
    parser.add_argument("--json", action="store_true", help="print the settings as JSON")
    common.add_settings_options(parser)
    common.add_state_option(parser)
    common.add_runtime_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print or change settings; an overlay that cannot be used is logged, as for a run."""
    from edge import config, overlay, settings

    if arguments.what in (SET, RESET):
        from edge.commands import config_change

        runtime = arguments.runtime or paths.runtime_folder() or paths.RUNTIME
        print(config_change.change(runtime, arguments.changes, arguments.what == RESET, arguments.yes))
        return EXIT_OK
    if arguments.changes:
        raise SettingsError(
            f"{arguments.changes[0]}: expected one word; to change settings: fmd config {SET} KEY=VALUE"
        )

    if arguments.state:
        paths.use(state=common.existing_state(arguments.state))
    arguments.config = common.settings_file(arguments.config)
    layers = common.read_settings(arguments, overlay.NAME)
    if layers.problem:
        config.warn(layers.problem)
    chosen = _chosen(settings.listed(layers), arguments.what)
    with naming_stdout():
        _print(arguments, layers, chosen)
    return EXIT_OK


def _print(arguments: argparse.Namespace, layers: Layers, chosen: list[Setting]) -> None:
    import msgspec

    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(chosen)).decode())
    elif arguments.what == DIFF:
        _print_differences(layers, chosen)
    elif "." in (arguments.what or ""):
        _print_one(layers, chosen[0])
    else:
        _print_sections(chosen)


def _chosen(listed: list[Setting], what: str | None) -> list[Setting]:
    """Return the settings that ``what`` names. Raises SettingsError if there are none."""
    from edge import config

    if what is None:
        return listed
    if what == DIFF:
        return [setting for setting in listed if setting.origin != "default" and setting.value != setting.default]
    if "." not in what:
        if found := [setting for setting in listed if setting.section == what]:
            return found
        sections = dict.fromkeys(setting.section for setting in listed)
        raise SettingsError(f"{what}: no such section; expected {DIFF}, section.key or one of {', '.join(sections)}")
    config.check_key(what)
    return [setting for setting in listed if setting.key == what]


def _print_sections(chosen: Iterable[Setting]) -> None:
    section = ""
    for setting in chosen:
        if setting.section != section:
            print(f"{section and chr(10)}[{setting.section}]")
            section = setting.section
        line = f"{setting.name} = {_in_words(setting, setting.value)}"
        print(line if setting.origin == "default" else f"{line:<40}  # {setting.origin}")


def _print_differences(layers: Layers, chosen: Iterable[Setting]) -> None:
    """Print each setting with its value, its origin, and what the layers below it say."""
    chosen = list(chosen)
    if not chosen:
        # Not on standard output, where programs expect settings only.
        print("no setting differs from the defaults", file=sys.stderr)
    for setting in chosen:
        below = [f"{name} {_in_words(setting, value)}" for name, value in _below(layers, setting).items()]
        print(
            f"{setting.key} = {_in_words(setting, setting.value)}  # {setting.origin}; {', '.join(below)}".rstrip("; ")
        )


def _print_one(layers: Layers, setting: Setting) -> None:
    place = layers.origins.get(setting.key)
    print(f"{setting.key} = {_in_words(setting, setting.value)}")
    print(f"from:     {setting.origin}{f' ({place})' if setting.origin in ('file', 'overlay') else ''}")
    for name, value in _below(layers, setting).items():
        print(f"{name + ':':<9} {_in_words(setting, value)}")
    if setting.choices:
        print(f"choices:  {', '.join(map(str, setting.choices))}")
    print(f"change:   {ACCESS[setting.access]}")
    print(f"meaning:  {setting.comment}")


def _below(layers: Layers, setting: Setting) -> dict[str, Any]:
    """Return the setting's value in each layer below the one that sets it, as it may be shown."""
    from edge import config, settings

    if setting.access == "secret" or setting.origin == "default":
        return {}
    found: dict[str, Any] = {"default": setting.default}
    if setting.origin in ("overlay", "command line"):
        below = settings.shown(setting.key, config.below(layers.base)[setting.section][setting.name])
        found |= {"file": below} if below != setting.default else {}
    if setting.origin == "command line" and setting.key in layers.over:
        found["overlay"] = layers.over[setting.key]
    return dict(reversed(found.items()))


def _in_words(setting: Setting, value: Any) -> str:
    """Return a value as TOML; a secret's is only whether it is set."""
    from edge import settings

    return f"({value}, not shown)" if setting.access == "secret" else settings.text_of(value)

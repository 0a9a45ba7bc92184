"""``fmd backup``: write settings, installed models and record of this board into one file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge import paths
from edge.commands import common
from edge.errors import EXIT_OK

if TYPE_CHECKING:
    from edge.backup.archive import Manifest, Part
    from edge.backup.sources import Places

EXAMPLES = """\
fmd may run meanwhile. Pictures of unclear faces are never part of a backup.

examples:
  sudo fmd backup door.fmd                   without passwords
  sudo fmd backup door.fmd --secrets         with them: keep the file safe
  sudo fmd backup door.fmd --only settings
"""
PARTS = ("settings", "models", "record")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd backup``."""
    parser.add_argument("file", type=Path, metavar="FILE", help="file to write; only you can read it")
    parser.add_argument(
        "--secrets",
        action="store_true",
        help="include passwords, and addresses that may hold one (default: leave them out, and name them)",
    )
    add_place_options(parser)


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that :func:`places_of` and :func:`parts_of` read."""
    parser.add_argument(
        "--only",
        action="append",
        choices=PARTS,
        metavar="PART",
        help=f"only this part ({', '.join(PARTS)}); repeatable",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: /etc/fmd/fmd.toml)")
    common.add_state_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the backup, and print what it holds."""
    from edge.backup import archive, sources

    common.check_writable("FILE", arguments.file)
    common.check_replaceable("", arguments.file, "a backup of fmd", archive.is_backup)
    places = places_of(arguments, common.settings_file(arguments.config))
    manifest = sources.write_file(arguments.file, places, parts_of(arguments), arguments.secrets)
    print(f"{arguments.file}: {in_words(manifest)}; {arguments.file.stat().st_size / 1e6:.1f} MB")
    if manifest.left_out:
        print(f"left out, as they are secrets (--secrets includes them): {', '.join(manifest.left_out)}")
    return EXIT_OK


def places_of(arguments: argparse.Namespace, settings: Path | None) -> Places:
    """Return where the parts are, given the settings file. Raises SettingsError without a state directory."""
    from edge.backup.sources import Places

    state = common.existing_state(arguments.state or paths.state_folder() or paths.STATE)
    return Places(settings, state)


def parts_of(arguments: argparse.Namespace) -> tuple[Part, ...]:
    """Return the parts that the options name, by default all."""
    from edge.backup import archive

    return tuple(part for part in archive.PARTS if part in (arguments.only or PARTS))


def in_words(manifest: Manifest) -> str:
    """Return what a backup holds: parts, models, and whether it holds secrets."""
    from edge.backup import archive

    models = [entry.name.rpartition("/")[2] for entry in manifest.entries if entry.name.startswith(archive.MODELS)]
    files = [name for name in models if not name.endswith(".json")]
    said = {
        "settings": f"settings {'with' if manifest.secrets else 'without'} secrets",
        "models": f"models {', '.join(files) or '(the shipped ones)'}",
        "record": "record",
    }
    return ", ".join(said[part] for part in manifest.parts)

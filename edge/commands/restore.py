"""``fmd restore``: check a backup and put settings, models and record of it in place, all or nothing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge import paths
from edge.commands import backup, common
from edge.errors import EXIT_OK, BackupError
from edge.text import escaped

if TYPE_CHECKING:
    from edge.backup.archive import Archive
    from edge.backup.restore import Checked

EXAMPLES = """\
Stop fmd first: sudo systemctl stop fmd. Another board, and a later version of
fmd, can restore a backup as well. The files from before stay beside the new ones.

examples:
  sudo fmd restore door.fmd --check          only check it
  sudo fmd restore door.fmd
  sudo fmd restore door.fmd --only settings --only models
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd restore``."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a file that fmd backup has written")
    parser.add_argument("--check", action="store_true", help="check the backup, and change nothing")
    backup.add_place_options(parser)
    common.add_runtime_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check the backup, and put it in place."""
    from edge.backup import archive, restore
    from edge.reporting import reporter

    # The settings file of this board may be what is missing.
    here = paths.SETTINGS if paths.SETTINGS.parent.is_dir() else None
    # A wrong file is reported before a state directory that this machine may lack.
    with archive.opened(arguments.file) as opened:
        places, parts = backup.places_of(arguments, arguments.config or here), backup.parts_of(arguments)
        if not arguments.check:
            _check_stopped(arguments.runtime or paths.runtime_folder() or paths.RUNTIME)
            finish(places.state)
        with restore.checked(opened, places, parts, check=reporter.check) as found:
            print(f"{arguments.file}: {_in_words(opened, found)}")
            if arguments.check:
                return EXIT_OK
            old = found.apply()
            for path in old:
                print(f"before: {path}")
            if found.missing:
                print(f"set these again, as the backup holds no secrets: {', '.join(found.missing)}")
            print("restored; start fmd: sudo systemctl start fmd")
    return EXIT_OK


def finish(state: Path) -> None:
    """Finish an earlier restoration of this state directory, if a power cut stopped one. Raises FmdError, OSError."""
    from edge.backup import swap
    from edge.service.model_store import check_own

    journal = paths.restore_journal(state)
    if journal.exists():
        check_own(journal.parent)
        for path in swap.finish(journal):
            print(f"finished an interrupted restoration: {escaped(str(path))}")


def _check_stopped(runtime: Path) -> None:
    """Raise BackupError while fmd runs: it would go on writing the old record."""
    from edge.service import serving

    if serving.is_served(runtime):
        raise BackupError("fmd runs; stop it first: sudo systemctl stop fmd")


def _in_words(opened: Archive, found: Checked) -> str:
    """Return where a backup is from and what of it is wanted; its texts may be anything."""
    manifest = opened.manifest
    made = escaped(f"of {manifest.door}, made {manifest.made_at} by fmd {manifest.version}")
    record = f", {found.passages} passages" if "record" in found.parts else ""
    return f"backup {made}: {', '.join(found.parts)}{record}"

"""``fmd examples``: the pictures of unclear faces that the service keeps (``record.examples``)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from edge import paths
from edge.commands import common
from edge.commands.parsing import print_help
from edge.errors import EXIT_OK, OutputError, SettingsError

EXAMPLES = """\
export writes the pictures into DIR/unsorted, and a folder for each label of
the classifier into DIR/sorted. Move each picture by hand into the folder of
what it shows. Delete pictures that show no face, and faces you cannot judge.
learn then proposes settings of [decide]; it changes no model.

The folder faces/sorted is then for fmd-train classifier --folders and for
fmd-convert --calibration.

examples:
  fmd examples export faces    as root
  fmd examples learn faces
  fmd examples learn faces --apply /etc/fmd/fmd.toml
"""
UNSORTED, SORTED = "unsorted", "sorted"
MAX_BYTES = 1 << 20
"""Bytes of the largest picture that fmd keeps, and more."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``fmd examples``."""
    what = parser.add_subparsers(metavar="WHAT", dest="what", title="subcommands")
    export = common.add_subcommand(what, "export", "write the pictures into a folder, to sort them by hand")
    export.add_argument("folder", type=Path, metavar="DIR", help="a folder; pictures that it already has stay")
    export.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: the service's)")
    common.add_state_option(export)
    learn = common.add_subcommand(what, "learn", "propose settings of [decide] from the sorted pictures")
    learn.add_argument("folder", type=Path, metavar="DIR", help="the folder of export, or one with a folder a label")
    learn.add_argument("--apply", type=Path, metavar="FILE", help="write what is proposed into this settings file")
    learn.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: the service's)")
    common.add_state_option(learn)
    parser.set_defaults(help_of=parser)


def run(arguments: argparse.Namespace) -> int:
    """Do what the subcommand says."""
    if arguments.what is None:
        return print_help(arguments.help_of)
    if arguments.what == "learn":
        from edge.commands import examples_learn

        inner = arguments.folder / SORTED
        return examples_learn.run(arguments, inner if inner.is_dir() else arguments.folder)
    return _export(arguments)


def _export(arguments: argparse.Namespace) -> int:
    from edge import config
    from edge.record import examples
    from edge.service import models

    state = common.existing_state(arguments.state or paths.state_folder() or paths.STATE)
    settings = config.load(common.settings_file(arguments.config))
    try:
        pictures = examples.pictures_of(state)
    except OSError as error:
        raise SettingsError(f"{error.filename}: {error.strerror}; only the user fmd may read it: use sudo") from error
    if not pictures:
        hint = "" if settings.record.examples != "none" else '; set record.examples = "unsure" and restart fmd'
        raise SettingsError(f"{state / examples.FOLDER}: no pictures yet{hint}")
    labels = models.open_classifier(settings).labels
    copied = _copy(pictures, arguments.folder, labels)
    print(f"{arguments.folder / UNSORTED}: {copied} pictures, {len(pictures) - copied} were there before")
    print(f"move each into its folder in {arguments.folder / SORTED}: {', '.join(labels)}; they show faces of people")
    return EXIT_OK


def _copy(pictures: Sequence[Path], folder: Path, labels: tuple[str, ...]) -> int:
    """Copy the pictures that ``folder`` does not have yet, sorted or not; return their number. Raises OutputError."""
    from edge.files import read_regular, write_atomically

    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        # With sudo, who sorts the pictures is the owner of the folder or of the one above it, not root.
        owner = folder.parent.stat() if folder.stat().st_uid == 0 else folder.stat()
        made = [folder, folder / UNSORTED, folder / SORTED, *(folder / SORTED / label for label in labels)]
        for each in made:
            each.mkdir(mode=0o700, exist_ok=True)
            _give(each, owner)
        present = {path.name for path in folder.rglob("*")}
        new = [path for path in pictures if path.name not in present]
        for path in new:
            copy = folder / UNSORTED / path.name
            write_atomically(copy, read_regular(path, MAX_BYTES), mode=0o600)
            _give(copy, owner)
    except FileNotFoundError as error:
        if error.filename and Path(error.filename).suffix:
            raise OutputError(f"{error.filename}: fmd has deleted it meanwhile; try again") from error
        raise OutputError(f"{folder}: no folder {folder.parent}; make it first") from error
    except OSError as error:
        raise OutputError(f"{error.filename or folder}: {error.strerror}") from error
    return len(new)


def _give(path: Path, owner: os.stat_result) -> None:
    if paths.is_root():
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)

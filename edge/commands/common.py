"""What several commands share: options that name settings, and checks before a file is written."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import EXIT_INTERRUPTED, EXIT_OK, SettingsError

if TYPE_CHECKING:
    from edge.config import Settings


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, help="settings file (TOML); what it leaves out keeps its default")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, as in --set alert.led_pin=22"
    )


def add_state_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="the service's state directory (default: $STATE_DIRECTORY, /var/lib/fmd)",
    )


def load_settings(arguments: argparse.Namespace, **overrides: Any) -> Settings:
    """Return the settings that ``--config`` and ``--set`` name; ``overrides`` that are not None win over both."""
    from edge import config

    named = dict(config.parse_assignment(text) for text in arguments.set)
    return config.load(arguments.config, {**named, **{k: v for k, v in overrides.items() if v is not None}})


def exit_code(stopped_by: int | None) -> int:
    """Systemd's SIGTERM is an orderly end; Ctrl-C is what a shell expects to hear of."""
    return EXIT_INTERRUPTED if stopped_by == signal.SIGINT else EXIT_OK


def files_read(arguments: argparse.Namespace, settings: Settings) -> Iterator[Path]:
    """What a run reads that a slip could name for writing: its settings, clips and folders."""
    from edge import config, drivers

    if arguments.config:
        yield arguments.config
    for camera in config.cameras(settings.camera).values():
        kind, name = drivers.camera_kind(camera.source)
        if kind in ("file", "folder"):
            yield Path(name)


def check_spares(option: str, path: Path, *sources: Path) -> None:
    """Raise SettingsError where ``path``, about to be written, is what is read: a slip must not destroy a clip."""
    from edge.contracts import PICTURE_SUFFIXES

    for source in sources:
        is_picture = source.is_dir() and path.suffix.lower() in PICTURE_SUFFIXES
        read = source / path.name if is_picture else source
        if path.exists() and read.exists() and path.samefile(read):
            raise SettingsError(f"{option} {path}: the same file as {read}, which it would overwrite; name another")

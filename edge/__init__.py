"""fmd at the door: what runs on the Raspberry Pi or the Jetson. It needs neither TensorFlow nor converter.

Read pipeline.py first: it takes one frame through watch, detect, regions, track, static, presence, schedule,
classify, decide and alert.

    pipeline.py      one frame through all stages
    contracts.py     what passes between stages: shapes, units, colour order
    config.py        reads the settings; default.toml holds every default, migrate.py accepts earlier names
    sections.py      typed settings, one struct per section; config_checks.py has the rules between them
    overlay.py       settings that were changed through the running fmd, laid over the file; toml.py knows the format
    errors.py        every error that fmd reports, as one tree, and the exit codes
    messages.py      content of messages and recorded events, one typed struct per kind
    control.py       requests to a running fmd and their replies; the client of its control socket
    page_messages.py requests of the web page and their replies
    version.py       the version, which comes from the repository's newest tag
    weekly.py        weekly windows in local time
    paths.py         where fmd's files are
    files.py         atomic writes
    redaction.py     removes secrets from everything that is printed or sent
    state_file.py    small JSON files exchanged between processes
    process.py       where the three commands start: standard streams, signals
    child.py         child process with limits, in which files of strangers are opened
    confine.py       what such a process gives up
    text.py          text of strangers, made safe for terminals and logs
    certificates.py  keys and certificates, made with the system's OpenSSL
    addresses.py     where a network camera is, with passwords removed
    board.py         temperature, throttling and memory of the board
    faults.py        camera faults to rehearse
    reading.py       the loop of a thread that reads a camera

    stages/          one stage per file; time is a parameter
    inference/       model files with their contracts; resizing
    settings.py      every setting with its origin and who may change it; changes, export, import
    camera/          supervisor of a live camera, lateness, checks of the picture
    drivers/         cameras, outputs, runtimes of models, publishers: the only package that imports their libraries
    service/         models, outputs, signals and systemd around the pipeline
    reporting/       listeners of a run: messages, metrics, status file, console lines, annotated pictures
    record/          the record: passages, events and sums in a database
    page/            the web page: a process of its own
    page_service/    the service's answers to the page
    doctor/ flash/   checks of this machine; preparation of an SD card
    hub/             credentials of many doors, on the machine that collects their messages
    backup/          settings, models and record in one file, and their restoration
    commands/        the command line, one file per command
    api.py           the Python API

Commands and api import everything; stages and drivers import contracts, settings and inference, not each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.api import Box, FmdError, PredictedFace, Predictor, example_picture, open_predictor, read_picture

__all__ = ["Box", "FmdError", "PredictedFace", "Predictor", "example_picture", "open_predictor", "read_picture"]


def __getattr__(name: str) -> Any:
    """Return a public name from :mod:`edge.api`, loaded at first use: ``import edge`` alone must stay quick."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edge import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """Return the public names beside the module's own, for completion in a shell."""
    return sorted([*globals(), *__all__])

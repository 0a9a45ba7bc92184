"""The page's socket of a run: joins what it shows to the run's arming, record and live state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from logging import Filter
from pathlib import Path

import msgspec

from edge import board, config
from edge.config import Settings
from edge.page_service import answers, jobs, log_lines
from edge.page_service.faces import Faces
from edge.page_service.hints import Hints
from edge.page_service.live import Door, LiveView
from edge.page_service.pictures import Pictures
from edge.page_service.tasks import Context
from edge.reporting.annotate import Outlines
from edge.reporting.listener import Listener, Listeners
from edge.reporting.live_state import LiveState
from edge.service.arming_control import ArmingControl, Note
from edge.service.control_server import serving


@dataclass(frozen=True)
class RunParts:
    """What the page is served from: parts of a run.

    ``state`` is the state directory, None if the run has none. ``turns`` maps a camera to the rotation that its faces
    need. ``models`` names the models of a run with these settings. ``options`` name the settings for the doctor.
    ``repeats`` drops lines of the log that repeat.
    """

    live: LiveState
    arming: ArmingControl
    note: Note
    state: Path | None
    turns: Mapping[str, int]
    models: Callable[[Settings], Sequence[str]]
    options: tuple[str, ...]
    version: str
    repeats: Filter
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


@contextmanager
def serving_page(folder: Path | None, run: RunParts, group: int | None = None) -> Iterator[Listener]:
    """Serve the page's socket in the runtime directory ``folder``; yield what must listen to the run.

    None serves nothing. ``group`` is as for :func:`edge.service.control_server.serving`.
    """
    if folder is None:
        yield Listeners([])
        return
    view = LiveView(run.clock, run.wall, run.models)
    faces, hints = Faces(lambda: run.arming.alert, run.note, run.clock, run.wall), Hints(run.clock)

    def outlines(camera: str) -> Outlines:
        return config.regions(view.settings, camera) if view.settings else ((), ())

    def context() -> Context:
        settings = view.settings
        return Context(
            state=str(run.state or ""),
            door=config.door_name(settings.publish) if settings else "",
            options=run.options,
            decide=msgspec.to_builtins(settings.decide) if settings else {},
        )

    door = Door(
        run.live, hints.of, run.turns, lambda: faces.until, run.version, board.model() or "PC", run.wall, run.wall()
    )
    with ExitStack() as stack:
        parts = answers.Parts(
            view=view,
            door=door,
            pictures=Pictures(view, lambda: faces.shown, outlines, run.clock),
            faces=faces,
            arming=run.arming,
            note=run.note,
            lines=stack.enter_context(log_lines.kept(run.repeats)),
            jobs=stack.enter_context(jobs.working(folder)),
            context=context,
        )
        stack.enter_context(serving(folder, answers.table(parts), group, answers.PAGE))
        yield Listeners([view, faces, hints])

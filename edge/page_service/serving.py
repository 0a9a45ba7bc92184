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
from edge.page_service.changes import Changes
from edge.page_service.faces import Faces
from edge.page_service.hints import Hints
from edge.page_service.installation import Installation, Place
from edge.page_service.limits import Limit
from edge.page_service.live import Door, LiveView
from edge.page_service.pictures import Pictures
from edge.page_service.tasks import Context
from edge.page_service.uploads import Uploads
from edge.reporting.annotate import Outlines
from edge.reporting.listener import Listener, Listeners
from edge.reporting.live_state import LiveState
from edge.service.arming_control import ArmingControl, Note
from edge.service.control_server import serving
from edge.service.model_store import ModelStore
from edge.service.model_switch import SHADOW_S
from edge.service.reloads import Reloads


@dataclass(frozen=True)
class RunParts:
    """What the page is served from: parts of a run.

    ``state`` is the state directory, None if the run has none. ``turns`` maps a camera to the rotation that its faces
    need. ``models`` names the models of a run with these settings. ``options`` name the settings for the doctor.
    ``repeats`` drops lines of the log that repeat. ``reloads`` has the settings' layers.
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
    reloads: Reloads
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    shadow_s: float = SHADOW_S


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
            base=str(run.reloads.keeper.layers.base or ""),
            options=run.options,
            decide=msgspec.to_builtins(settings.decide) if settings else {},
        )

    door = Door(
        state=run.live,
        arming=lambda: run.arming.message,
        hints=hints.of,
        turns=run.turns,
        faces_until=lambda: faces.until,
        version=run.version,
        board=board.model() or "PC",
        wall=run.wall,
        started_s=run.wall(),
    )
    uploads, limit = Uploads(), Limit(answers.MOST_CHANGES, "changes", run.clock)
    place = Place(
        store=ModelStore(run.state),
        runtime=folder,
        reloads=run.reloads,
        settings=lambda: view.settings,
        where=str(run.reloads.keeper.layers.base or "the defaults"),
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
            uploads=uploads,
            changes=Changes(run.reloads, uploads, run.note, limit),
            installation=Installation(place, uploads, run.note, run.shadow_s),
            limit=limit,
            clock=run.clock,
        )
        stack.enter_context(serving(folder, answers.table(parts), group, answers.PAGE))
        yield Listeners([view, faces, hints])

"""Installation of a model from the page: as ``fmd model install`` does it, in a thread of its own.

The file is staged for the installer, which proves it in a process without privileges: root's, on a board. Then both
models see the same frames, and fmd switches if they agree.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as NoAnswerError
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.config import Settings
from edge.errors import BundleError, ControlError, FmdError
from edge.inference.bundle import ONNX_SUFFIX
from edge.page_messages import InstallRequest, ShadowStateReply
from edge.page_service.uploads import Uploads
from edge.service import model_store, shadow_run
from edge.service.arming_control import Note
from edge.service.model_installer import Request, Result, ask
from edge.service.model_store import ModelStore
from edge.service.model_switch import ALLOWED, SHADOW_S, check_labels, check_not_named, check_result, request
from edge.service.reloads import Reloads
from edge.service.shadow_run import ShadowResult

log = logging.getLogger(__name__)

RELOAD_S = 45.0
"""Longest wait for the first frame after a reload, seconds."""
POLL_S = 0.2
FINISHED = frozenset({"none", "installed", "refused", "failed"})
"""Phases in which another installation may begin."""


class ModelEvent(msgspec.Struct, frozen=True):
    """Content of the event that a model came from the page: its name, what became of it, and who installed it."""

    name: str
    outcome: str
    who: str


@dataclass(frozen=True)
class Place:
    """Where models are installed: the store, the runtime directory of the run, and how it reads its settings again.

    ``settings`` returns those of the run, ``where`` names their file. ``ask`` has the installer do a request.
    """

    store: ModelStore
    runtime: Path
    reloads: Reloads
    settings: Callable[[], Settings | None]
    where: str
    ask: Callable[[ModelStore, Request, bytes, str], Result] = ask


class Installation:
    """The newest installation, and its progress. ``shadow_s`` is the length of the shadow run."""

    def __init__(self, place: Place, uploads: Uploads, note: Note, shadow_s: float = SHADOW_S) -> None:
        self._place, self._uploads, self._note, self._shadow_s = place, uploads, note, shadow_s
        self._lock = threading.Lock()
        self._phase, self._words, self._result = "none", "", ShadowResult("", "", shadow_s)

    def begin(self, asked: InstallRequest) -> None:
        """Begin to install an uploaded file. Raises ControlError if one is being installed, or was not uploaded."""
        with self._lock:
            if self._phase not in FINISHED:
                raise ControlError("another model is being installed; wait until that has ended")
            self._place.reloads.check()
            data = self._uploads.take("model", asked.name)
            self._phase, self._words = "staged", f"{asked.name} is passed to the installer."
            self._result = ShadowResult("", asked.task, self._shadow_s)
        threading.Thread(target=self._work, args=(asked, data), name="page-install", daemon=True).start()

    def state(self) -> ShadowStateReply:
        """Return the progress."""
        phase, words, result = self._phase, self._words, self._result
        if phase == "shadow":
            result = self._read() or result
        return ShadowStateReply(
            phase=phase,
            words=words,
            observations=result.observations,
            agreement=1 - result.share if result.observations else None,
            share=min(1.0, result.ran_s / result.seconds) if result.seconds else 0.0,
        )

    def _work(self, asked: InstallRequest, data: bytes) -> None:
        try:
            name = self._install(asked, data)
            self._end("installed", f"{name} is installed and in use.", asked)
        except BundleError as error:
            self._end("refused", str(error), asked)
        except FmdError as error:
            self._end("failed", str(error), asked)
        except Exception as error:  # a bug must not leave an installation that never ends
            log.exception("installation of %s", asked.name)
            self._end("failed", f"unexpected error, please report it: {type(error).__name__}: {error}", asked)

    def _end(self, phase: str, words: str, asked: InstallRequest) -> None:
        log.info("web page: %s: %s", asked.name, words)
        self._note("model", ModelEvent(asked.name, words, asked.who))
        self._phase, self._words = phase, words

    def _install(self, asked: InstallRequest, data: bytes) -> str:
        """Install a file and switch to it; return its name in the store. Raises FmdError: the present one is in use."""
        place, settings = self._place, self._place.settings()
        if settings is None:
            raise ControlError("fmd has not started yet; try again in a minute")
        self._phase, self._words = "proving", "The file is checked in a process without privileges."
        added = place.ask(place.store, Request("install"), data, asked.name)
        if added.task != asked.task:
            raise BundleError(f"{asked.name}: a model of the kind {added.task}, expected {asked.task}")
        if added.name.endswith(ONNX_SUFFIX):
            raise BundleError(f"{asked.name}: is prepared for a GPU in minutes; use: sudo fmd model install")
        check_not_named(settings, added.task, place.where)
        check_labels(settings, added)
        self._compare(added)
        self._switch(added)
        return added.name

    def _compare(self, added: Result) -> None:
        """Run the new model in the shadow of the present one. Raises BundleError if they disagree."""
        asked = {"action": "shadow", "task": added.task, "name": added.name, "seconds": self._shadow_s}
        before = shadow_run.read_result(self._place.runtime / shadow_run.RESULT)
        self._phase, self._words = "shadow", "Both models see the same frames. The present one decides."
        self._ask(msgspec.convert(asked, Request))
        try:
            self._reload()
            found = self._read()
            if found is None or (before is not None and before.number == found.number):
                raise BundleError("the running fmd did not begin the shadow run; for the reason see its log")
            until_s = time.monotonic() + self._shadow_s + POLL_S
            # Behind an empty doorway nothing is classified, and the run does not end by itself.
            while not (found.done or found.error) and time.monotonic() < until_s:
                threading.Event().wait(POLL_S)
                found = self._read() or found
        finally:
            # Withdrawn, or a reload in the far future would begin it again.
            self._ask(request("withdraw", added.task))
        self._result = found
        check_result(found, ALLOWED)

    def _read(self) -> ShadowResult | None:
        return shadow_run.read_result(self._place.runtime / shadow_run.RESULT)

    def _switch(self, added: Result) -> None:
        """Make the run use the new model, or return to the present one and raise BundleError."""
        self._words = "fmd loads the new model."
        self._ask(request("switch", added.task, added.name))
        why = "the running fmd did not load it"
        try:
            self._reload()
            used = model_store.in_use(self._place.runtime)
            if used is not None and Path(getattr(used, added.task)).name == added.name:
                return
        except FmdError as error:
            why = str(error)
        back = self._ask(request("rollback", added.task)).name
        self._reload()
        raise BundleError(f"{added.name}: {why}; back to {back}")

    def _ask(self, asked: Request) -> Result:
        return self._place.ask(self._place.store, asked, b"", "")

    def _reload(self) -> None:
        """Have the run open its models again. Raises ControlError if it refuses."""
        try:
            refused = self._place.reloads.ask().result(RELOAD_S)
        except NoAnswerError:
            raise ControlError("no picture has come since the reload") from None
        if refused:
            raise ControlError(refused)

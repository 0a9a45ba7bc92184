"""Model choice: the installed model, else the one before it, else the shipped one, so that the door is always watched.

A newly installed model is tried: it counts as proven when a frame has passed all stages with it. If the process dies
before that, the next start uses the model before. A file that is missing, damaged or computes wrongly is passed over as
well. Both are reported as a :class:`edge.contracts.ModelFallback`.

Nothing here raises for the state of a disk: not the model store, and not the service's folders, which may be read-only
or full.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge import paths, state_file
from edge.contracts import ModelFallback
from edge.errors import BundleError, FmdError
from edge.files import native_name
from edge.inference.bundle import Model
from edge.service.model_store import SHIPPED, Choice, ModelStore

log = logging.getLogger(__name__)

RECORD = "model-trials.json"
"""State file in the state directory, which survives a power cut, and in the runtime directory, which is in memory."""
TRIED, PROVEN, DIED, REFUSED = "tried", "proven", "died", "refused"
"""How a model did: opened by a process that has not ended; a frame passed; that process died before; not opened."""


def shipped_model(task: str) -> Path:
    """Return the path of the model for ``task`` that fmd ships. Raises BundleError if it is missing."""
    path = paths.shipped_model(task)
    if not path.is_file():
        raise BundleError(f"{path}: the shipped {task} is missing; install fmd again, or name one in model.{task}")
    return path


class Trials(msgspec.Struct, forbid_unknown_fields=True):
    """How the models of one switch did, by file name."""

    switch: str
    models: dict[str, str]


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """Trials by task."""

    tasks: dict[str, Trials] = {}


class TrialRecord:
    """Record of trials in two folders: the durable one, and the one in memory if that is read-only or full.

    Without both, outside of systemd, nothing is recorded and every model may be used. ``read_only`` writes nothing:
    for a check beside the running service.
    """

    def __init__(self, state: Path | None, runtime: Path | None, read_only: bool = False) -> None:
        # The newer one first: the runtime directory takes every write that the card takes.
        self._files = [folder / RECORD for folder in (runtime, state) if folder is not None]
        self._read_only = read_only

    def get(self, task: str, switch: str, name: str) -> str:
        """Return how a model did, or an empty text."""
        for file in self._files:
            trials = self._read(file).tasks.get(task)
            if trials is not None and trials.switch == switch and name in trials.models:
                return trials.models[name]
        return ""

    def set(self, task: str, switch: str, name: str, how: str) -> bool:
        """Record how a model did ("" removes it); return whether at least one folder took it, or there is none."""
        if self._read_only or not self._files:
            return True
        taken = [self._set(file, task, switch, name, how) for file in self._files]
        return any(taken)

    def _set(self, file: Path, task: str, switch: str, name: str, how: str) -> bool:
        record = self._read(file)
        trials = record.tasks.get(task)
        if trials is None or trials.switch != switch:
            trials = record.tasks[task] = Trials(switch, {})
        if trials.models.get(name, "") == how:
            return True
        trials.models[name] = how
        try:
            state_file.write_state(file, record, durable=True)
        except OSError as error:
            log.warning("%s: %s; the trial of %s is not recorded there", file, error.strerror, name)
            # An old "tried" would count as a death after the next boot; a full disk lets files be deleted.
            try:
                file.unlink(missing_ok=True)
            except OSError:
                log.debug("%s cannot be deleted either", file)
            return False
        return True

    def _read(self, file: Path) -> Record:
        return state_file.read_state(file, Record) or Record()


class ModelChooser:
    """Chooses and opens the models of one process. ``fallbacks`` are by task, for tasks that do not use theirs."""

    def __init__(self, store: ModelStore | None = None, record: TrialRecord | None = None) -> None:
        self._store, self._record = store or ModelStore(), record or TrialRecord(None, None)
        self.fallbacks: dict[str, ModelFallback] = {}
        self.used: dict[str, Path] = {}
        self._mine: set[tuple[str, str, str]] = set()

    @property
    def store(self) -> ModelStore:
        """The model store."""
        return self._store

    def open(self, task: str, opened: Callable[[Path], Model], strict: bool = False) -> Model:
        """Return the first model for ``task`` that ``opened`` opens: the installed, the previous, the shipped one.

        ``strict`` is for a check: an installed model that is refused now, and was not before, raises its BundleError.
        So a reload or an upgrade does not exchange a model silently that the running process still has. A check opens
        the shipped model as well, which has to replace the others. Raises BundleError if that cannot be opened.
        """
        choice, problem = self._store.read(task)
        reasons = [problem] if problem else []
        if problem:
            self._refuse(problem, task, choice, strict)
        for name in dict.fromkeys((choice.current, choice.previous, SHIPPED)):
            if name in ("", SHIPPED):
                continue
            reason = self._unfit(task, choice, name)
            if not reason:
                try:
                    path = self._store.folder / name
                    model = opened(Path(native_name(path, BundleError)))
                except BundleError as error:
                    reason = str(error)
                    known = self._record.get(task, choice.switch, name) == REFUSED
                    if strict and name == choice.current and not known:
                        raise
                    self._note(task, choice, name, REFUSED)
                else:
                    if strict:
                        opened(shipped_model(task))
                    self._use(task, path, choice, reasons)
                    return model
            reasons.append(reason)
        path = shipped_model(task)
        model = opened(path)
        self._use(task, path, choice, reasons)
        return model

    def prove(self) -> None:
        """Record that a frame has passed all stages with the models in use."""
        for task, switch, name in sorted(self._mine):
            self._record.set(task, switch, name, PROVEN)
        self._mine.clear()

    def release(self, error: BaseException | None) -> None:
        """Note that this process ends in order before a frame has passed: its models are not to blame.

        They may be after any other error, such as of memory, and after a BundleError.
        """
        if error is None or (isinstance(error, FmdError) and not isinstance(error, BundleError)):
            for task, switch, name in sorted(self._mine):
                self._record.set(task, switch, name, "")
            self._mine.clear()

    def _unfit(self, task: str, choice: Choice, name: str) -> str:
        """Return why a model may not be opened in this process; if it may, record that it is tried."""
        how = self._record.get(task, choice.switch, name)
        if (choice.proven and not how) or how == PROVEN or (task, choice.switch, name) in self._mine:
            return ""
        if how in (TRIED, DIED):
            if how == TRIED:
                self._record.set(task, choice.switch, name, DIED)
            return f"{name}: fmd ended before a frame had passed with it"
        if not self._record.set(task, choice.switch, name, TRIED):
            return f"{name}: new, and its trial cannot be recorded on this disk"
        self._mine.add((task, choice.switch, name))
        return ""

    def _refuse(self, problem: str, task: str, choice: Choice, strict: bool) -> None:
        if strict and self._record.get(task, choice.switch, task) != REFUSED:
            raise BundleError(f"{problem}; install the model again, or: sudo fmd model rollback {task}")
        self._note(task, choice, task, REFUSED)

    def _note(self, task: str, choice: Choice, name: str, how: str) -> None:
        self._record.set(task, choice.switch, name, how)
        self._mine.discard((task, choice.switch, name))

    def _use(self, task: str, path: Path, choice: Choice, reasons: list[str]) -> None:
        self.used[task] = path
        before = self.fallbacks.pop(task, None)
        if not reasons:
            return
        wanted = choice.current if choice.current != SHIPPED else ""
        now = ModelFallback(task, wanted, path.name, " ".join(reasons[0].split()))
        self.fallbacks[task] = now
        if now != before:
            for reason in reasons:
                log.error("%s: %s", task, reason)
            log.error(
                "%s: fmd uses %s instead; sudo fmd model install FILE, or: fmd model rollback %s", task, path, task
            )

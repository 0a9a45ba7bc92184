"""Restoration of a backup: everything is checked first, then put in place, all or nothing.

Settings pass the checks of ``fmd run --check``, models those of ``fmd model install``, the record those of a record
that the service opens. fmd must not run meanwhile: it would go on writing the old record.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from edge import config, overlay, paths, toml
from edge.backup import settings, snapshot
from edge.backup.archive import FILES, MAX_TEXT, MODELS, OVERLAY, RECORD, SETTINGS, Archive, Part
from edge.backup.sources import Places, overlay_values
from edge.backup.swap import Owner, Swap, swapping
from edge.config import Settings
from edge.drivers.selection import detector_kind, secret_settings
from edge.errors import BackupError, SettingsError
from edge.files import read_regular
from edge.inference.bundle import MAX_FILE, sha256
from edge.paths import TASKS
from edge.record import database
from edge.service import model_proof
from edge.service.model_installer import Check
from edge.service.model_store import SHIPPED, Choice, ModelStore, check_own

CheckSettings = Callable[[Settings], None]
UNCHANGED = "nothing was changed"
KERNEL = (("proc",), ("sys",), ("dev",))
"""Folders of files that may never end."""
STATE_MODE = 0o600
"""Permissions of a restored file in the state directory, as the service itself gives (``UMask=0077``)."""
_WHERE = "the settings in the backup"


class Checked:
    """A backup of which every wanted part has been checked; :meth:`apply` puts them in place.

    ``passages`` is how many the record holds; ``missing`` are settings that neither the backup nor this board has.
    """

    def __init__(self, archive: Archive, places: Places, parts: Collection[Part], stack: ExitStack) -> None:
        self._archive, self._places, self._stack = archive, places, stack
        self.parts = tuple(part for part in archive.manifest.parts if part in parts)
        self.passages, self.missing = 0, tuple[str, ...]()
        self._text, self._files = "", dict[str, bytes]()
        self._choices: dict[str, Choice] = {}
        self._record: Path | None = None

    def check_settings(self, check: CheckSettings, model_check: Check) -> None:
        """Check settings, overlay and named files in a folder of their own. Raises FmdError."""
        base = self._base()
        present = _present(base)
        left_out = self._archive.manifest.left_out
        self._text = settings.merged(toml.decoded(self._archive.read(SETTINGS), _WHERE), left_out, present)
        values = settings.plain(self._text, _WHERE)
        self.missing = tuple(key for key in left_out if not settings.has(values, key))
        trial = self._stack.enter_context(snapshot.scratch()) / base.name
        trial.write_text(self._text, encoding="utf-8")
        here = {name for _, name in settings.named_files(present)}
        for key, name in settings.named_files(values):
            self._try_file(key, name, trial, here, model_check)
        layers = config.laid(trial, self._over(), file=trial.with_name(overlay.NAME))
        check(layers.settings)
        if unnamed := {name.removeprefix(FILES) for name in self._archive.names(FILES)} - self._files.keys():
            raise BackupError(f"{FILES}{min(unnamed)}: no setting in the backup names it; {UNCHANGED}")

    def check_models(self, model_check: Check) -> None:
        """Check every model and the choice between them. Raises FmdError."""
        for task in TASKS:
            if not self._archive.has(f"{MODELS}{task}.json"):
                continue
            choice = self._choice(task)
            for name in self._names(task):
                content = self._archive.read(MODELS + name)
                if not name.startswith(f"{task}-{sha256(content)[:12]}."):
                    raise BackupError(f"{name}: the model has another hash than its name; {UNCHANGED}")
                if (found := model_check(content, Path(name)).task) != task:
                    raise BackupError(f"{name}: a {found}, expected a {task}; {UNCHANGED}")
            if choice.current != SHIPPED and choice.current not in self._names(task):
                raise BackupError(f"{MODELS}{task}.json: names {choice.current!r}, which the backup lacks")
            self._choices[task] = choice

    def check_record(self) -> None:
        """Check the record in a process of its own. Raises FmdError."""
        self._record = self._stack.enter_context(snapshot.scratch()) / database.NAME
        with self._record.open("xb") as file:
            self._archive.copy(RECORD, file)
        self.passages = snapshot.check(self._record)

    def apply(self) -> list[Path]:
        """Put all parts in place, and return where the old files are. If it raises FmdError or OSError, none is."""
        check_own(self._places.state.parent)
        with swapping(paths.restore_journal(self._places.state)) as swap:
            if "settings" in self.parts:
                self._put_settings(swap)
            if "models" in self.parts:
                self._put_models(swap, self._places.store)
            if self._record is not None:
                self._put_record(swap, self._record)
            return swap.commit()

    def _base(self) -> Path:
        if self._places.base is None:
            raise BackupError("the backup holds settings, and no settings file is named: use --config FILE")
        return self._places.base

    def _over(self) -> dict[str, object]:
        return overlay_values(self._archive.read(OVERLAY)) if self._archive.has(OVERLAY) else {}

    def _try_file(self, key: str, name: str, trial: Path, here: Collection[str], model_check: Check) -> None:
        """Put a file that the settings name beside them for the check. Raises FmdError if it is nowhere.

        ``here`` are the files that the present settings name: no other file beside them is replaced.
        """
        path = self._base().parent / name
        if self._archive.has(settings.entry_of(name)):
            if path.name == trial.name or (name not in here and path.exists()):
                raise BackupError(f"{key}: {path} is on this board for another purpose; {UNCHANGED}")
            content = self._files[name] = self._archive.read(settings.entry_of(name))
        elif path.is_file() and path.resolve().parts[1:2] not in KERNEL:
            # What lies elsewhere is only opened as the settings ask for it.
            content = b"" if name != path.name else read_regular(path, MAX_FILE)
        else:
            raise SettingsError(f"{key}: names {path}, which is neither in the backup nor on this board; {UNCHANGED}")
        if name == path.name and path.name != trial.name:
            (trial.parent / name).write_bytes(content)
        section, _, task = key.partition(".")
        if section == "model" and content and not (task == "detector" and detector_kind(trial.parent / name)):
            model_check(content, Path(name))

    def _names(self, task: str) -> list[str]:
        """Return the file names of the models of a task in the backup."""
        return [name.removeprefix(MODELS) for name in self._archive.names(f"{MODELS}{task}-")]

    def _choice(self, task: str) -> Choice:
        try:
            choice = msgspec.json.decode(self._archive.read(f"{MODELS}{task}.json"), type=Choice)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BackupError(f"{MODELS}{task}.json: not a choice of models: {error}; {UNCHANGED}") from error
        store = self._places.store
        for name in (choice.current, choice.previous):
            if name not in (SHIPPED, "") and not store.is_name(name, task):
                raise BackupError(f"{MODELS}{task}.json: names {name!r}, expected a {task}; {UNCHANGED}")
        previous = choice.previous if choice.previous in (SHIPPED, "", *self._names(task)) else ""
        # A switch of its own, so that the model counts as untried on this board.
        return Choice(choice.current, previous, uuid.uuid4().hex)

    def _put_settings(self, swap: Swap) -> None:
        base, state = self._base(), self._state_owner()
        group = state.group
        check_own(base.parent)
        secret = {
            name for key, name in settings.named_files(settings.plain(self._text, _WHERE)) if key in secret_settings()
        }
        for name, content in self._files.items():
            swap.put(base.parent / name, content, Owner(0o640, None, group) if name in secret else Owner(0o644))
        swap.put(base, self._text.encode(), Owner(0o640, None, group))
        over = self._places.state / overlay.NAME
        if changes := self._over():
            swap.put(over, overlay.text_of(base, config.nested(changes)), state)
        else:
            swap.remove(over)
        # Whether it works on this board must be seen.
        swap.remove(over.with_name(overlay.PROVEN))
        swap.remove(over.with_name(overlay.TRIED))

    def _put_models(self, swap: Swap, store: ModelStore) -> None:
        store.create()
        for task, choice in self._choices.items():
            for name in self._names(task):
                if not (store.folder / name).is_file():
                    swap.put(store.folder / name, self._archive.read(MODELS + name), Owner(0o644))
            swap.put(store.folder / f"{task}.json", msgspec.json.encode(choice), Owner(0o644))

    def _put_record(self, swap: Swap, record: Path) -> None:
        path, owner = self._places.state / database.NAME, self._state_owner()
        old = database.replaced(path)
        with record.open("rb") as source:
            swap.put(path, source, owner, old)
        # The log of changes belongs to the old record.
        for suffix in ("-wal", "-shm", "-journal"):
            swap.remove(path.with_name(path.name + suffix), old.with_name(old.name + suffix))

    def _state_owner(self) -> Owner:
        """Return who the files in the state directory belong to: only root can give them away."""
        about = self._places.state.stat()
        return Owner(STATE_MODE, about.st_uid, about.st_gid) if paths.is_root() else Owner(STATE_MODE)


def _present(base: Path) -> settings.Values:
    """Return the settings of this board, none if there are none that can be read: then they are to be replaced."""
    try:
        return settings.plain(toml.decoded(read_regular(base, MAX_TEXT), str(base)), str(base))
    except (OSError, SettingsError):
        return {}


@contextmanager
def checked(
    archive: Archive,
    places: Places,
    parts: Collection[Part],
    check: CheckSettings = lambda settings: None,
    model_check: Check = model_proof.check,
) -> Iterator[Checked]:
    """Check a backup and yield it, ready to be applied. Raises FmdError, which says what is wrong, and OSError.

    ``check`` is for settings, beyond what :func:`edge.config.laid` finds.
    """
    with ExitStack() as stack:
        found = Checked(archive, places, parts, stack)
        if not found.parts:
            held = ", ".join(archive.manifest.parts) or "nothing"
            raise BackupError(f"the backup holds {held}, expected {' or '.join(parts)}; {UNCHANGED}")
        if "settings" in found.parts:
            found.check_settings(check, model_check)
        if "models" in found.parts:
            found.check_models(model_check)
        if "record" in found.parts:
            found.check_record()
        yield found

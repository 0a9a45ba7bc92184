"""``fmd model install``: have a file checked and stored, run it in the shadow of the current model, switch to it."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from edge import config, paths
from edge.commands import common, door_status
from edge.config import Settings
from edge.errors import BundleError, ControlError, FmdError, SettingsError
from edge.inference import bundle
from edge.service import confined, engines, model_store, model_switch, serving, shadow_run
from edge.service import run as service
from edge.service.model_installer import Request, ask
from edge.service.model_proof import proving
from edge.service.model_store import ModelsInUse, ModelStore
from edge.service.models import Shadow
from edge.service.shadow_run import ShadowRequest, ShadowResult, ShadowRun
from edge.text import escaped

log = logging.getLogger(__name__)

RELOAD_S = 30.0
"""Longest wait for the first frame after a reload, seconds; a slow board loads both models twice."""
POLL_S = 0.5
"""Time between two reads of what the service wrote, seconds."""

WITHOUT_SERVICE = (
    "systemd has no fmd.service on this machine. The model is in {folder}, and commands that you type, such as fmd run "
    "and fmd predict, use it from now on; fmd demo does not. To undo this: fmd model rollback {task}"
)

T = TypeVar("T")


class Outcome(msgspec.Struct, kw_only=True):
    """What became of an installation, for programs; ``reason`` is why the model is not in use, in one line.

    ``verdict`` is refused (the file or the request), not compared (too few observations), differs, failed (in its
    shadow run, or the service did not load it), unhealthy (the door, and fmd went back), installed (for the next start)
    or in use. ``name`` is the file in the store, ``share`` of the observations are disagreed on.
    """

    file: str
    verdict: str = "refused"
    task: str = ""
    name: str = ""
    observations: int = 0
    disagreed: int = 0
    share: float = 0.0
    ran_s: float = 0.0
    watched_s: float = 0.0
    reason: str = ""


class Job(NamedTuple):
    """An installation. ``say`` prints a line where people read it, ``runtime`` is the service's runtime directory."""

    arguments: argparse.Namespace
    store: ModelStore
    runtime: Path
    running: bool
    outcome: Outcome
    say: Callable[[str], None]


def install(arguments: argparse.Namespace, store: ModelStore) -> None:
    """Have ``arguments.file`` checked and installed, compare it with the current model, and switch to it if it agrees.

    This process, which may be root's, runs no model itself. Raises BundleError, with the current model
    still or again in use, if the file is refused, differs too much, or the service does not take it.
    """
    if arguments.seconds is None:
        arguments.seconds = model_switch.SHADOW_S
    if arguments.allow is None:
        arguments.allow = model_switch.ALLOWED
    outcome = Outcome(file=str(arguments.file))
    # Standard output is one JSON value, for programs.
    say = partial(print, file=sys.stderr if arguments.json else sys.stdout, flush=True)
    runtime = arguments.runtime or paths.RUNTIME
    try:
        _install(Job(arguments, store, runtime, serving.is_served(runtime), outcome, say))
    except (FmdError, OSError) as error:
        outcome.reason = str(error)
        raise
    finally:
        if arguments.json:
            print(msgspec.json.format(msgspec.json.encode(outcome)).decode())


def _install(job: Job) -> None:
    arguments, store, _, running, outcome, say = job
    _check_options(arguments, running)
    # Stored before the comparison, as the service reads it from there; it is not in use until the switch.
    added = ask(store, Request("install"), bundle.read(arguments.file), str(arguments.file))
    task, path = added.task, store.folder / added.name
    outcome.task, outcome.name = task, added.name
    settings = _settings(arguments, task)
    model_switch.check_labels(settings, added)
    if path.suffix == bundle.ONNX_SUFFIX:
        say("preparing the model for this board; with TensorRT this takes minutes ...")
        state = arguments.state or paths.state_folder() or paths.STATE
        say(f"it runs on {engines.build(path, settings.model, state)}")
    outcome.verdict = "failed"
    if result := _shadowed(job, settings, path):
        _judge(job, result)
    ask(store, model_switch.request("switch", task, path.name))
    if not running:
        outcome.verdict = "installed"
        say(f"{task} {path.name} is installed; fmd is not running and uses it from its next start")
        if store.folder == paths.model_folder(paths.STATE) and not serving.is_installed():
            say(WITHOUT_SERVICE.format(folder=store.folder, task=task))
        return
    _reload_onto(job, path)
    if arguments.watch:
        _watch(job, path)
    outcome.verdict = "in use"
    say(f"{task} {path.name} is installed and in use; to undo this: fmd model rollback {task}")


def _check_options(arguments: argparse.Namespace, running: bool) -> None:
    """Raise SettingsError for options that need what this machine does not do; nothing is installed then."""
    if arguments.watch and not running:
        raise SettingsError("--watch: fmd is not running here; start it: sudo systemctl start fmd")
    if arguments.observations and not arguments.source and not (running and arguments.seconds):
        why = "--seconds 0" if running else "fmd is not running here"
        raise SettingsError(f"--observations: without a shadow run nothing is compared: {why}")


def _settings(arguments: argparse.Namespace, task: str) -> Settings:
    # This command runs outside the service and has to find the settings that the service uses.
    path = common.settings_file(arguments.config)
    settings = config.load(path)
    model_switch.check_not_named(settings, task, path)
    return settings


def _shadowed(job: Job, settings: Settings, path: Path) -> ShadowResult | None:
    """Return how the new model compares with the current one, or None where the options ask for no comparison."""
    arguments = job.arguments
    request = ShadowRequest(str(path), job.outcome.task, arguments.seconds)
    if arguments.source:
        return _over_a_clip(settings, request, arguments.source)
    if not job.running or not arguments.seconds:
        log.info("no shadow run: %s", "--seconds 0" if job.running else "fmd is not running")
        return None
    return _beside(job, request)


def _over_a_clip(settings: Settings, request: ShadowRequest, source: str) -> ShadowResult:
    """Run both models over a clip, each in a confined process of its own, with simulated outputs."""
    # No time limit: the clip ends by itself.
    begun = ShadowRun(msgspec.structs.replace(request, seconds=float("inf")), None)
    camera = msgspec.structs.replace(settings.camera, source=source)
    quiet = msgspec.structs.replace(settings.alert, driver="console")
    here = msgspec.structs.replace(settings, camera=camera, alert=quiet)
    with confined.opening() as opened:
        new = bundle.load(
            Path(request.file),
            request.task,
            lambda raw: opened(raw, settings.model.threads, settings.model.runtime),
            proving(settings.model.runtime, settings.model.threads),
        )
        service.run(here, build=partial(service.build_pipeline, opened=opened, shadow=Shadow(new, begun)))
    return begun.result


def _beside(job: Job, request: ShadowRequest) -> ShadowResult:
    """Ask the running service for a shadow run on its live frames, and return the result."""
    store, runtime = job.store, job.runtime
    answer = runtime / shadow_run.RESULT
    before = shadow_run.read_result(answer)
    asked = {"action": "shadow", "task": request.task, "name": Path(request.file).name, "seconds": request.seconds}
    ask(store, msgspec.convert(asked, Request))
    try:
        serving.reload(runtime)
        job.say(f"shadow run beside the current model for {request.seconds:g} s of live frames ...")

        def begun() -> ShadowResult | None:
            result = shadow_run.read_result(answer)
            # The result of an earlier shadow run must not be taken for this one's.
            new = result is not None and (before is None or result.number != before.number)
            return result if new and result is not None and result.file == request.file else None

        found = _wait(begun, RELOAD_S)
        if found is None:
            raise BundleError("the running fmd did not begin the shadow run; for the reason see: journalctl -u fmd")
        # The service reports only when a face was classified: behind an empty doorway this wait has to end by itself.
        ended = _wait(lambda: _ended(answer), request.seconds + POLL_S)
        return ended or shadow_run.read_result(answer) or found
    finally:
        # Withdrawn, or a reload in the far future would begin it again.
        ask(store, model_switch.request("withdraw", request.task))


def _ended(answer: Path) -> ShadowResult | None:
    result = shadow_run.read_result(answer)
    return result if result and (result.done or result.error) else None


def _judge(job: Job, result: ShadowResult) -> None:
    """Print the result of a shadow run; raise BundleError if it forbids the switch."""
    arguments, outcome, say = job.arguments, job.outcome, job.say
    outcome.observations, outcome.disagreed, outcome.share = result.observations, result.disagreed, result.share
    outcome.ran_s = round(result.ran_s, 1)
    if not result.error and not result.observations:
        say("no face was seen during the shadow run: the models were not compared")
    elif not result.error:
        say(f"the models disagree on {result.disagreed} of {result.observations} observations ({result.share:.1%})")
        for example in result.examples:
            say(f"  {escaped(example)}")
    if not result.error:
        outcome.verdict = "not compared" if result.observations < arguments.observations else "differs"
    more = " (--allow 1 installs the new one in any case)"
    model_switch.check_result(result, arguments.allow, more, arguments.observations)
    outcome.verdict = "failed"


def _watch(job: Job, path: Path) -> None:
    """Watch the door with the new model; go back and raise BundleError unless all is well until the end."""
    task, seconds = job.outcome.task, job.arguments.watch
    job.say(f"watching the door with it for {seconds:g} s ...")
    status = door_status.watched(job.runtime, seconds, {task: path.name})
    job.outcome.watched_s = status.watched_s
    if status.healthy:
        return
    job.outcome.verdict = "unhealthy"
    said = f"{path}: after {status.watched_s:g} s: {'; '.join(status.problems)}"
    # Anyone may have chosen another one meanwhile; to go back once more would lead to the new model.
    if job.store.read(task).choice.current != path.name:
        raise BundleError(f"{said}; it is not chosen any more")
    raise BundleError(f"{said}; back to {_go_back(job)}")


def _reload_onto(job: Job, path: Path) -> None:
    """Ask the service to load the new file, and wait until it has; otherwise switch back and raise BundleError."""

    def taken() -> ModelsInUse | None:
        now = model_store.in_use(job.runtime)
        return now if now and Path(getattr(now, job.outcome.task)).name == path.name else None

    reason = "the running fmd did not load it"
    try:
        serving.reload(job.runtime)
        if _wait(taken, RELOAD_S):
            return
    except (SettingsError, ControlError) as error:
        reason = str(error)
    raise BundleError(f"{path}: {reason}; back to {_go_back(job)}. For the reason see: journalctl -u fmd")


def _go_back(job: Job) -> str:
    """Have the service use the model before, and return its name."""
    name = ask(job.store, model_switch.request("rollback", job.outcome.task)).name
    # Whatever it runs by now, perhaps in a new process, or in none: the next one reads the choice.
    with suppress(SettingsError, ControlError):
        serving.reload(job.runtime)
    return name


def _wait(ask: Callable[[], T | None], seconds: float) -> T | None:
    """Return the first answer of ``ask`` that is not None, or None after ``seconds``."""
    until_s = time.monotonic() + seconds
    while (found := ask()) is None and time.monotonic() < until_s:
        time.sleep(POLL_S)
    return found

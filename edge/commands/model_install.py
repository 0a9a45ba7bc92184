"""``fmd model install``: have a file checked and stored, run it in the shadow of the current model, switch to it."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from edge import config, paths
from edge.commands import common
from edge.config import Settings
from edge.errors import BundleError, SettingsError
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


def install(arguments: argparse.Namespace, store: ModelStore) -> None:
    """Have ``arguments.file`` checked and installed, compare it with the current model, and switch to it if it agrees.

    This process, which may be root's, runs no model itself. Raises BundleError, with the current model
    still or again in use, if the file is refused, differs too much, or the service does not take it.
    """
    if arguments.seconds is None:
        arguments.seconds = model_switch.SHADOW_S
    if arguments.allow is None:
        arguments.allow = model_switch.ALLOWED
    # Stored before the comparison, as the service reads it from there; it is not in use until the switch.
    added = ask(store, Request("install"), bundle.read(arguments.file), str(arguments.file))
    task, path = added.task, store.folder / added.name
    settings = _settings(arguments, task)
    model_switch.check_labels(settings, added)
    if path.suffix == bundle.ONNX_SUFFIX:
        print("preparing the model for this board; with TensorRT this takes minutes ...", flush=True)
        state = arguments.state or paths.state_folder() or paths.STATE
        print(f"it runs on {engines.build(path, settings.model, state)}")
    runtime = arguments.runtime or paths.RUNTIME
    running = serving.is_served(runtime)
    if result := _shadowed(arguments, settings, store, task, path, running):
        _judge(result, arguments.allow)
    ask(store, model_switch.request("switch", task, path.name))
    if not running:
        print(f"{task} {path.name} is installed; fmd is not running and uses it from its next start")
        if store.folder == paths.model_folder(paths.STATE) and not serving.is_installed():
            print(WITHOUT_SERVICE.format(folder=store.folder, task=task))
        return
    _reload_onto(store, task, path, runtime)
    print(f"{task} {path.name} is installed and in use; to undo this: fmd model rollback {task}")


def _settings(arguments: argparse.Namespace, task: str) -> Settings:
    # This command runs outside the service and has to find the settings that the service uses.
    path = common.settings_file(arguments.config)
    settings = config.load(path)
    model_switch.check_not_named(settings, task, path)
    return settings


def _shadowed(
    arguments: argparse.Namespace, settings: Settings, store: ModelStore, task: str, path: Path, running: bool
) -> ShadowResult | None:
    """Return how the new model compares with the current one, or None where the options ask for no comparison."""
    request = ShadowRequest(str(path), task, arguments.seconds)
    if arguments.source:
        return _over_a_clip(settings, request, arguments.source)
    if not running or not arguments.seconds:
        log.info("no shadow run: %s", "--seconds 0" if running else "fmd is not running")
        return None
    return _beside(arguments, store, request)


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


def _beside(arguments: argparse.Namespace, store: ModelStore, request: ShadowRequest) -> ShadowResult:
    """Ask the running service for a shadow run on its live frames, and return the result."""
    runtime = arguments.runtime or paths.RUNTIME
    answer = runtime / shadow_run.RESULT
    before = shadow_run.read_result(answer)
    asked = {"action": "shadow", "task": request.task, "name": Path(request.file).name, "seconds": request.seconds}
    ask(store, msgspec.convert(asked, Request))
    try:
        serving.reload(runtime)
        print(f"shadow run beside the current model for {request.seconds:g} s of live frames ...", flush=True)

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


def _judge(result: ShadowResult, allow: float) -> None:
    """Print the result of a shadow run; raise BundleError if the models differ in more than ``allow``, a share."""
    if not result.error and not result.observations:
        print("no face was seen during the shadow run: the models were not compared")
    elif not result.error:
        print(f"the models disagree on {result.disagreed} of {result.observations} observations ({result.share:.1%})")
        for example in result.examples:
            print(f"  {escaped(example)}")
    model_switch.check_result(result, allow, " (--allow 1 installs the new one in any case)")


def _reload_onto(store: ModelStore, task: str, path: Path, runtime: Path) -> None:
    """Ask the service to load the new file, and wait until it has; otherwise switch back and raise BundleError."""

    def taken() -> ModelsInUse | None:
        now = model_store.in_use(runtime)
        return now if now and Path(getattr(now, task)).name == path.name else None

    reason = "the running fmd did not load it"
    try:
        serving.reload(runtime)
        if _wait(taken, RELOAD_S):
            return
    except SettingsError as error:
        reason = str(error)
    name = ask(store, model_switch.request("rollback", task)).name
    # Whatever it runs by now, perhaps in a new process.
    with suppress(SettingsError):
        serving.reload(runtime)
    raise BundleError(f"{path}: {reason}; back to {name}. For the reason see: journalctl -u fmd")


def _wait(ask: Callable[[], T | None], seconds: float) -> T | None:
    """Return the first answer of ``ask`` that is not None, or None after ``seconds``."""
    until_s = time.monotonic() + seconds
    while (found := ask()) is None and time.monotonic() < until_s:
        time.sleep(POLL_S)
    return found

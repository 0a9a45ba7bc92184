"""``fmd model install``: check a model file, run it in the shadow of the current one, switch to it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from edge import config, drivers, paths
from edge.config import Settings
from edge.errors import BundleError, SettingsError
from edge.inference import bundle
from edge.inference.bundle import Bundle
from edge.service import engines, model_store, shadow_run
from edge.service import run as service
from edge.service.model_proof import proving
from edge.service.model_store import ModelsInUse, ModelStore
from edge.service.models import Shadow
from edge.service.shadow_run import ShadowRequest, ShadowResult, ShadowRun

log = logging.getLogger(__name__)

RELOAD_S = 30.0
"""Longest wait for the first frame after a reload, seconds; a slow board loads both models twice."""
POLL_S = 0.5
"""Time between two reads of what the service wrote, seconds."""

T = TypeVar("T")


def install(arguments: argparse.Namespace, store: ModelStore) -> None:
    """Check ``arguments.file``, compare it with the current model, and switch to it if it agrees.

    Raises BundleError, with the current model still or again in use, if it differs too much or the service refuses it.
    """
    data, checked = arguments.file.read_bytes(), bundle.unpack(arguments.file)
    task = checked.contract.task
    settings = _settings(arguments, task)
    # Everything that a start would check, golden inputs included, before anything is written.
    service.check(_with_model(settings, task, arguments.file))
    # Stored before the comparison, as the service reads it from there; it is not in use until the switch.
    path = store.add(data, checked)
    if checked.suffix == bundle.ONNX_SUFFIX:
        print("preparing the model for this board; with TensorRT this takes minutes ...", flush=True)
        print(f"it runs on {engines.build(path, settings.model, store.folder.parent)}")
    running = model_store.in_use(paths.RUNTIME if arguments.runtime is None else arguments.runtime)
    if result := _shadowed(arguments, settings, store, checked, path, running):
        _judge(result, arguments.allow)
    store.switch(task, path.name)
    if running is None:
        # No first frame will prove it now, and the next start must not take it back as unproven.
        store.prove(task)
        print(f"{task} {path.name} is installed; fmd is not running and uses it from its next start")
        return
    _reload_onto(arguments, store, task, path, running)
    print(f"{task} {path.name} is installed and in use; to undo this: fmd model rollback {task}")


def _settings(arguments: argparse.Namespace, task: str) -> Settings:
    # This command runs outside the service and has to find the settings that the service uses.
    path = arguments.config or (paths.SETTINGS if paths.SETTINGS.exists() else None)
    settings = config.load(path)
    if named := getattr(settings.model, task):
        raise SettingsError(
            f"{path}: model.{task} names {named}, which overrides any installed model; remove this key first"
        )
    return settings


def _with_model(settings: Settings, task: str, file: Path) -> Settings:
    return msgspec.structs.replace(settings, model=msgspec.structs.replace(settings.model, **{task: str(file)}))


def _shadowed(
    arguments: argparse.Namespace,
    settings: Settings,
    store: ModelStore,
    checked: Bundle,
    path: Path,
    running: ModelsInUse | None,
) -> ShadowResult | None:
    """Return how the new model compares with the current one, or None where the options ask for no comparison."""
    request = ShadowRequest(str(path), checked.contract.task, arguments.seconds)
    if arguments.source:
        return _over_a_clip(settings, request, arguments.source)
    if running is None or not arguments.seconds:
        log.info("no shadow run: %s", "fmd is not running" if running is None else "--seconds 0")
        return None
    return _beside(arguments, store, request, running)


def _over_a_clip(settings: Settings, request: ShadowRequest, source: str) -> ShadowResult:
    """Run both models over a clip in this process, with simulated outputs."""
    # No time limit: the clip ends by itself.
    begun = ShadowRun(msgspec.structs.replace(request, seconds=float("inf")), None)
    new = bundle.load(
        Path(request.file),
        request.task,
        lambda raw: drivers.open_interpreter(raw, settings.model.threads, settings.model.runtime),
        proving(settings.model.runtime, settings.model.threads),
    )
    camera = msgspec.structs.replace(settings.camera, source=source)
    quiet = msgspec.structs.replace(settings.alert, driver="console")
    here = msgspec.structs.replace(settings, camera=camera, alert=quiet)
    service.run(here, build=partial(service.build_pipeline, shadow=Shadow(new, begun)))
    return begun.result


def _beside(
    arguments: argparse.Namespace, store: ModelStore, request: ShadowRequest, running: ModelsInUse
) -> ShadowResult:
    """Ask the running service for a shadow run on its live frames, and return the result."""
    answer = (arguments.runtime or paths.RUNTIME) / shadow_run.RESULT
    # The result of an earlier shadow run must not be taken for this one's.
    answer.unlink(missing_ok=True)
    shadow_run.write_request(store.folder, request)
    hang_up(running)
    print(f"shadow run beside the current model for {request.seconds:g} s of live frames ...", flush=True)
    found = _wait(lambda: shadow_run.read_result(answer), RELOAD_S)
    if found is None:
        # Withdrawn, or the next reload would begin it without anyone who waits.
        shadow_run.take_request(store.folder)
        raise BundleError("the running fmd did not begin the shadow run; for the reason see: journalctl -u fmd")
    # The service reports only when a face was classified: behind an empty doorway this wait has to end by itself.
    ended = _wait(lambda: _ended(answer), request.seconds + POLL_S)
    return ended or shadow_run.read_result(answer) or found


def _ended(answer: Path) -> ShadowResult | None:
    result = shadow_run.read_result(answer)
    return result if result and (result.done or result.error) else None


def _judge(result: ShadowResult, allow: float) -> None:
    """Print the result of a shadow run; raise BundleError if the models differ in more than ``allow``, a share."""
    if result.error:
        raise BundleError(f"{result.file}: failed in its shadow run ({result.error}); the current model stays in use")
    if not result.observations:
        print("no face was seen during the shadow run: the models were not compared")
        return
    print(f"the models disagree on {result.disagreed} of {result.observations} observations ({result.share:.1%})")
    for example in result.examples:
        print(f"  {example}")
    if result.share > allow:
        raise BundleError(
            f"{result.file}: disagrees with the current model on {result.share:.1%} of observations, allowed are "
            f"{allow:.1%}; the current model stays in use (--allow 1 installs the new one in any case)"
        )


def _reload_onto(arguments: argparse.Namespace, store: ModelStore, task: str, path: Path, running: ModelsInUse) -> None:
    """Ask the service to load the new file, and wait until it has; otherwise switch back and raise BundleError."""
    hang_up(running)
    folder = arguments.runtime or paths.RUNTIME

    def taken() -> ModelsInUse | None:
        now = model_store.in_use(folder)
        return now if now and Path(getattr(now, task)).name == path.name else None

    if _wait(taken, RELOAD_S):
        return
    name = store.roll_back(task)
    # Whatever it runs by now, perhaps in a new process.
    if now := model_store.in_use(folder):
        hang_up(now)
    raise BundleError(f"{path}: the running fmd did not load it; back to {name}. For the reason see: journalctl -u fmd")


def hang_up(running: ModelsInUse) -> None:
    """Send SIGHUP to the running service, which then reads settings and models again."""
    try:
        os.kill(running.pid, signal.SIGHUP)
    except PermissionError as error:
        raise SettingsError(f"fmd runs as another user (process {running.pid}); use sudo") from error


def _wait(ask: Callable[[], T | None], seconds: float) -> T | None:
    """Return the first answer of ``ask`` that is not None, or None after ``seconds``."""
    until_s = time.monotonic() + seconds
    while (found := ask()) is None and time.monotonic() < until_s:
        time.sleep(POLL_S)
    return found

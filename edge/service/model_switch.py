"""What decides whether an installed model replaces the present one; the command and the web page share it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from edge.config import Settings
from edge.errors import BundleError, SettingsError
from edge.service.model_installer import Request, Result
from edge.service.shadow_run import ShadowResult

SHADOW_S = 60.0
"""Length of a shadow run, in seconds of live frames."""
ALLOWED = 0.1
"""Share of observations on which a new model may disagree with the present one."""


def request(action: Literal["switch", "rollback", "withdraw", "shadow"], task: str, name: str = "") -> Request:
    """Return a request to the installer about an installed model."""
    return msgspec.convert({"action": action, "task": task, "name": name}, Request)


def check_not_named(settings: Settings, task: str, where: Path | str | None) -> None:
    """Raise SettingsError if the settings (at ``where``) name a model themselves."""
    if named := getattr(settings.model, task):
        raise SettingsError(
            f"{where}: model.{task} names {named}, which overrides any installed model; remove this key first"
        )


def check_labels(settings: Settings, added: Result) -> None:
    """Raise BundleError for a label in the settings that the model lacks: a reload would refuse the model."""
    unknown = set(settings.decide.accept) - set(added.labels)
    if added.task == "classifier" and unknown:
        raise BundleError(
            f"decide.accept: {sorted(unknown)}: no label of this model; it has {list(added.labels)}; change the setting"
        )


def check_result(result: ShadowResult, allowed: float, more: str = "", least: float = 0) -> None:
    """Raise BundleError for a shadow run that failed, or in which the models disagree too often.

    ``more`` says how to install the model in any case, ``least`` how many observations have to be compared.
    """
    if result.error:
        raise BundleError(f"{result.file}: failed in its shadow run ({result.error}); the current model stays in use")
    if result.observations < least:
        raise BundleError(
            f"{result.file}: compared with the current model on {result.observations} observations, expected at least "
            f"{least:g}; the current model stays in use. Repeat it while people pass the door"
        )
    if result.observations and result.share > allowed:
        raise BundleError(
            f"{result.file}: disagrees with the current model on {result.share:.1%} of observations, allowed are "
            f"{allowed:.1%}; the current model stays in use{more}"
        )

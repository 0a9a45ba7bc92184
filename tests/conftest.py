"""Fixtures of all tests."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge import redaction

MASK = 0o022
SAME = {"TZ": "UTC", "LC_ALL": "C.UTF-8"}
"""Time zone, and the language of other programs. A test about another one sets it."""


@pytest.fixture(scope="session", autouse=True)
def same_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The same process on every machine: time zone, language, permissions of new files, Ctrl-C, no unit of systemd.

    The cache is for these tests alone: the shipped models are proven once, and no file is left.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background job, whose processes inherit that
        signal.signal(signal.SIGINT, signal.default_int_handler)
    mask = os.umask(MASK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for variable, value in SAME.items():
            patch.setenv(variable, value)
        for variable in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY", "LANGUAGE"):  # the suite may itself run in a unit
            patch.delenv(variable, raising=False)
        time.tzset()
        yield
    os.umask(mask)
    time.tzset()


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """The process again as it was: a command that runs in it sets variables, and simulated pins, for what follows.

    A state directory of an earlier test would otherwise hide the cache of later ones.
    """
    before, folder, pins = dict(os.environ), Path.cwd(), _pins()
    yield
    if _pins() is not pins:
        sys.modules["gpiozero"].Device.pin_factory = pins
    os.umask(MASK)
    for variable in os.environ.keys() - before.keys():
        del os.environ[variable]
    os.environ.update({key: value for key, value in before.items() if os.environ.get(key) != value})
    time.tzset()
    os.chdir(folder)


def _pins() -> Any:
    """Return what gpiozero drives pins by, once anything has imported it."""
    return sys.modules["gpiozero"].Device.pin_factory if "gpiozero" in sys.modules else None


@pytest.fixture(autouse=True)
def no_secrets() -> None:
    """No secrets of earlier tests: an example's password would hide the same word in the messages of later ones."""
    redaction.forget()

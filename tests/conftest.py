"""Fixtures of all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from edge import redaction


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A record of proven models for these tests alone: the shipped models are checked once, and no file is left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for variable in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):  # the suite may itself run in a unit
            patch.delenv(variable, raising=False)
        yield


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """The environment again as it was: a command that runs in this process sets variables for what follows in it.

    A state directory of an earlier test would otherwise hide the cache of later ones.
    """
    before = dict(os.environ)
    yield
    for variable in os.environ.keys() - before.keys():
        del os.environ[variable]
    os.environ.update({key: value for key, value in before.items() if os.environ.get(key) != value})


@pytest.fixture(autouse=True)
def no_secrets() -> None:
    """No secrets of earlier tests: an example's password would hide the same word in the messages of later ones."""
    redaction.forget()

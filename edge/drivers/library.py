"""Imports of optional libraries: one message says what is missing, which setting needs it and how to install it."""

from __future__ import annotations

import importlib
from operator import attrgetter
from typing import Any

from edge.errors import FmdError, RuntimeMissingError


def pip_extra(name: str) -> str:
    """Return the command that installs the libraries of one of fmd's extras."""
    return f"in fmd's folder: pip install '.[{name}]'"


def import_library(module: str, setting: str, install: str, error: type[FmdError] = RuntimeMissingError) -> Any:
    """Return an optional library's ``module``.

    Raises ``error`` if it cannot be imported, naming the ``setting`` that needs it and how to ``install`` it.
    """
    try:
        return importlib.import_module(module)
    # ValueError: "numpy.dtype size changed", from a library that was built for another NumPy than the installed one.
    # NameError: Adafruit's libraries ignore that the one with their types is missing.
    except (ImportError, ValueError, NameError) as cause:
        raise error(f"{setting}: {module} cannot be imported ({cause}); {install}") from cause


def load(target: str) -> Any:
    """Return the object that ``"module:attribute"`` of a driver's table entry names, importing its module."""
    module, _, attribute = target.partition(":")
    return attrgetter(attribute)(importlib.import_module(module))


def first_line(error: Exception) -> str:
    """Return the first line of a library's message, which often goes on with a trace of its C++ code."""
    return str(error).strip().partition("\n")[0]

"""The scripts that build the package: they belong to no Python package, so tests load them by path."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from tests.edge.parts import ROOT


def load(name: str) -> ModuleType:
    """Return debian/NAME.py as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"debian/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

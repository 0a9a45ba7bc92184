"""Where the data sets lie that some tests need and that are no part of the project."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("FMD_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")).resolve()

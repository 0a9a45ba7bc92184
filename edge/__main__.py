"""``python -m edge`` is ``fmd``: Windows does not find the command itself where pip has put it."""

from __future__ import annotations

import sys

from edge import process

if __name__ == "__main__":
    sys.exit(process.fmd())

"""What fmd.service does first, as root, if ``fmd restore`` was cut off: ``python -I -m edge.commands.restore_unit``."""

from __future__ import annotations

import sys

from edge import paths
from edge.commands import logs, restore
from edge.errors import EXIT_OK, exit_code_of


def main() -> int:
    """Finish the restoration of the service's files."""
    logs.start()

    def body() -> int:
        restore.finish(paths.STATE)
        return EXIT_OK

    return exit_code_of(body)


if __name__ == "__main__":
    sys.exit(main())

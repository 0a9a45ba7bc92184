"""A hundred simulated doors on a real hub, and what is measured of it.

    python -m simulation.fleet --doors 30 --serve     doors and hub until Ctrl-C, for dashboards

The hub is Debian's mosquitto, Prometheus and Alertmanager, started in a temporary folder on free ports and stopped at
the end. Each door publishes over TLS with a credential of its own. With --serve, commands on standard input change
doors, as in "blind door-0003"; "help" lists them.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import tempfile
from pathlib import Path

from edge.errors import FmdError
from simulation.fleet.fleet import FleetOptions, running
from simulation.fleet.serve import serve


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m simulation.fleet", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--doors", type=_count, default=100, help="number of doors (default: %(default)s)")
    parser.add_argument("--alone", type=_count, default=10, help="doors with a process of their own, which faults need")
    parser.add_argument("--visit-s", type=float, default=60.0, help="mean time between two people at a door")
    parser.add_argument("--serve", action="store_true", help="run until Ctrl-C, and read commands")
    parser.add_argument("--verbose", action="store_true", help="print the doors' warnings")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    options = FleetOptions(
        arguments.doors,
        min(arguments.alone, arguments.doors),
        visit_s=arguments.visit_s,
        level=logging.WARNING if arguments.verbose else logging.ERROR,
    )
    try:
        with tempfile.TemporaryDirectory(prefix="fmd-hub-") as folder, running(Path(folder), options) as (hub, doors):
            serve(hub, doors)
    except FmdError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 2000:
        raise argparse.ArgumentTypeError(f"got {number}, expected 1 to 2000")
    return number


if __name__ == "__main__":
    sys.exit(main())

"""What the commands share that ask a running fmd through its control socket."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge import paths
from edge.errors import EXIT_OK

if TYPE_CHECKING:
    from edge.control import ArmingRequest

UNITS_S = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def ask(arguments: argparse.Namespace, request: ArmingRequest) -> int:
    """Send a request to the fmd that ``--runtime`` names and print the state that it leads to.

    Raises ControlError if none runs there, this user may not control it, or it refuses.
    """
    from edge.control import Client, StateReply
    from edge.messages import arming_in_words

    with Client(arguments.runtime or paths.runtime_folder() or paths.RUNTIME) as client:
        reply = client.ask(request, StateReply)
    print(arming_in_words(reply.arming))
    return EXIT_OK


def duration(days: int) -> Callable[[str], float]:
    """Return an option's type: a time such as "10m" or "1h30m", more than 0 and at most ``days``, as seconds."""

    def parse(text: str) -> float:
        found = re.fullmatch("".join(rf"(?:(\d{{1,6}}){unit})?" for unit in UNITS_S), text)
        seconds = sum(int(n or 0) * s for n, s in zip(found.groups(), UNITS_S.values(), strict=True)) if found else 0
        if 0 < seconds <= 86400 * days:
            return float(seconds)
        most = f"{days} days" if days > 1 else "24 hours"
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a time such as 45s, 10m or 1h30m, at most {most}")

    return parse


def mute_time(text: str) -> float:
    """Return the seconds of a mute; "off" is 0. An option's type."""
    return 0.0 if text == "off" else duration(1)(text)


def time_of_day(text: str) -> str:
    """Return a time of day such as "18:00" as it is. An option's type."""
    if re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", text):
        return text
    raise argparse.ArgumentTypeError(f"got {text!r}, expected a time of day such as 18:00")

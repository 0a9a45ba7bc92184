"""How often the page may change something: a page that was taken over must not wear the card out, nor flood the log."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from edge.errors import ControlError

WINDOW_S = 60.0


class Limit:
    """At most ``most`` of something in a minute, as ``what`` says in the refusal."""

    def __init__(self, most: int, what: str, clock: Callable[[], float]) -> None:
        self._most, self._what, self._clock = most, what, clock
        self._times: deque[float] = deque(maxlen=most)

    def count(self) -> None:
        """Count one. Raises ControlError if there were too many in the last minute."""
        now_s = self._clock()
        if len(self._times) == self._most and now_s - self._times[0] < WINDOW_S:
            raise ControlError(f"the page has sent more than {self._most} {self._what} in a minute; try again later")
        self._times.append(now_s)

"""Parts of the live and the aim screen that change while they are open: each a macro of _parts.html."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from edge.page import show_aim, show_live
from edge.page_messages import LiveReply

Parts = Mapping[str, object]
"""Macro of _parts.html, and id of the element that it fills -> its argument."""


def _live_parts(reply: LiveReply, camera: str) -> Parts:
    live = show_live.live(reply, camera)
    whole = {"state": live, "arming": live, "faces": live, "decisions": live.decisions, "facts": live.facts}
    return {**whole, "drawing": live.camera, "people": live.camera}


def _aim_parts(reply: LiveReply, camera: str) -> Parts:
    aim = show_aim.aim(reply, camera, ())
    return {"drawing": aim.camera, "people": aim.camera, "hints": aim.camera, "turn": aim}


PARTS: Mapping[str, Callable[[LiveReply, str], Parts]] = {"live": _live_parts, "aim": _aim_parts}


class Changes:
    """What changed on one open screen since the last event, as JSON. ``part`` is :meth:`edge.page.site.Site.part`."""

    def __init__(self, part: Callable[[str, object], str], screen: str, camera: str) -> None:
        self._part, self._parts, self._camera = part, PARTS.get(screen, _live_parts), camera
        self._sent: dict[str, str] = {}

    def __call__(self, reply: LiveReply) -> bytes:
        """Return the parts that differ from those of the last call."""
        html = {name: self._part(name, shown) for name, shown in self._parts(reply, self._camera).items()}
        changed = {name: text for name, text in html.items() if self._sent.get(name) != text}
        self._sent = html
        return msgspec.json.encode({"kind": "parts", "parts": changed})

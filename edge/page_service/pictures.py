"""JPEG of a camera's newest picture, made only when the page asks, in the thread of its socket.

Faces are blurred unless they are shown for a while. A picture leaves fmd only if the detector has inspected it, or if
the view has not changed since then: in any other picture a face may be anywhere. The last inspected one is sent then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from edge.contracts import Box, Frame, Heat, Image
from edge.inference.resize import resized
from edge.page_messages import PICTURES_PER_S, PictureReply, PictureRequest
from edge.page_service.live import CameraSteps, LiveView, Seen, people
from edge.reporting.annotate import Outlines, blur_face, draw_heat, draw_outlines, encoded
from edge.stages.watch import view_changed

CONTRAST = 6.0
"""Change of a spot's brightness that makes a view another one, as ``watch.contrast`` has by default."""
HEAT_S = 1.0
"""Greatest age of a heat map that is drawn: a person has moved on since."""
GONE_S = 1.0
"""Time without a request after which a viewer's turn is over."""
MOST_VIEWS = 4
"""Encoded pictures that are kept, the newest."""
NOTHING = PictureReply(number=0, age_s=0.0, jpeg=b"")

Wanted = tuple[str, int, bool, bool, bool]
"""Camera, largest width, heat map, outlines, faces shown."""


class Shown(NamedTuple):
    """A step whose picture may be sent, and the inspected one whose faces are in it."""

    seen: Seen
    inspected: Seen


@dataclass(frozen=True, slots=True)
class _Made:
    wanted: Wanted
    seen: Seen
    reply: PictureReply


class Pictures:
    """Answers to picture requests. ``shows_faces`` says whether faces are shown now, ``outlines`` the regions.

    At most :data:`edge.page_messages.PICTURES_PER_S` pictures are encoded in a second. Viewers of the same picture
    share it; viewers of different ones take turns.
    """

    def __init__(
        self,
        view: LiveView,
        shows_faces: Callable[[], bool],
        outlines: Callable[[str], Outlines],
        clock: Callable[[], float],
    ) -> None:
        self._view, self._shows_faces, self._outlines, self._clock = view, shows_faces, outlines, clock
        self._made: dict[Wanted, _Made] = {}
        self._asked: dict[Wanted, float] = {}
        self._last_s = float("-inf")

    def reply(self, request: PictureRequest) -> PictureReply:
        """Return the newest picture that the page may have, or an empty one."""
        steps = self._view.steps_of(request.camera)
        shown = presentable(steps) if steps else None
        if steps is None or shown is None:
            return NOTHING
        wanted = (request.camera, request.width, request.heat, request.boxes, self._shows_faces())
        made = self._made.get(wanted)
        if made is None or made.seen.number != shown.seen.number:
            made = self._make(wanted, steps, shown) or made
        if made is None or made.reply.number <= request.after:
            return NOTHING
        return PictureReply(
            number=made.reply.number,
            age_s=round(self._view.age_s(made.seen), 3),
            jpeg=made.reply.jpeg,
            people=made.reply.people,
        )

    def _make(self, wanted: Wanted, steps: CameraSteps, shown: Shown) -> _Made | None:
        """Encode a picture, if it is its turn."""
        if not self._is_due(wanted, self._clock()):
            return None
        # For one viewer or two; pictures of others would be kept for ever.
        while len(self._made) >= MOST_VIEWS:
            del self._made[next(iter(self._made))]
        picture, seen = self._drawn(wanted, steps, shown), shown.seen
        reply = PictureReply(number=seen.number, age_s=0.0, jpeg=encoded(picture), people=people(seen.step))
        self._made.pop(wanted, None)
        self._made[wanted] = made = _Made(wanted, seen, reply)
        return made

    def _is_due(self, wanted: Wanted, now_s: float) -> bool:
        """Return whether a picture may be encoded now, and whether nobody has waited longer for another one."""
        self._asked = {each: at for each, at in self._asked.items() if now_s - at < GONE_S}
        # A key that is there keeps its place: the first one has waited longest.
        self._asked[wanted] = now_s
        if now_s - self._last_s < 1 / PICTURES_PER_S or next(iter(self._asked)) != wanted:
            return False
        del self._asked[wanted]
        self._last_s = now_s
        return True

    def _drawn(self, wanted: Wanted, steps: CameraSteps, shown: Shown) -> Image:
        (camera, width, heat, boxes, faces), seen = wanted, shown.seen
        picture, scale = reduced(seen.step.frame.image, width)
        if not faces:
            for box in known_faces(shown):
                blur_face(picture, _scaled(box, scale))
        if heat:
            for each in _heats(steps, seen):
                draw_heat(picture, Heat(_scaled(each.square, scale), each.values))
        if boxes:
            draw_outlines(picture, seen.step, scale, self._outlines(camera))
        return picture


def presentable(steps: CameraSteps) -> Shown | None:
    """Return the newest step whose picture may be sent, None before the first."""
    newest, inspected = steps.newest, steps.inspected
    if newest is None or inspected is None:
        return None
    # The loop goes on meanwhile: what was read is what is compared, sent and blurred.
    if newest.number > inspected.number and not is_changed(newest.step.frame, inspected.step.frame):
        return Shown(newest, inspected)
    return Shown(inspected, inspected)


def is_changed(frame: Frame, before: Frame) -> bool:
    """Return whether a view differs from one that the detector has inspected, by the measure of the gate."""
    return frame.luma.shape != before.luma.shape or view_changed(frame.luma, before.luma, CONTRAST)


def known_faces(shown: Shown) -> Iterable[Box]:
    """Return every box that may hold a face: of the step itself, and of the one that was inspected."""
    for step in (shown.seen.step, shown.inspected.step):
        yield from (face.box for face in (*step.faces, *step.ignored))
        yield from (track.box for track in (*step.tracks, *step.pictures))


def reduced(image: Image, width: int) -> tuple[Image, float]:
    """Return a copy of (H, W, 3) RGB at most ``width`` wide, and the factor from full pixels to its own."""
    full_height, full_width = image.shape[:2]
    scale = min(1.0, width / full_width)
    if scale == 1.0:
        return _copied(image), scale
    return resized(image, round(full_width * scale), max(1, round(full_height * scale))), scale


def _copied(image: Image) -> Image:
    """Return a copy in natural order; OpenCV converts without holding the interpreter's lock."""
    if image.strides[-1] < 0:
        return np.asarray(cv2.cvtColor(image[:, :, ::-1], cv2.COLOR_BGR2RGB), np.uint8)
    return image.copy()


def _scaled(box: Box, scale: float) -> Box:
    return Box(*(value * scale for value in box))


def _heats(steps: CameraSteps, seen: Seen) -> Iterable[Heat]:
    """Yield the newest heat maps, moved with the people they are of."""
    observed = steps.observed
    if observed is None or abs(seen.at_s - observed.at_s) > HEAT_S:
        return
    then, now = ({track.id: track.box for track in step.tracks} for step in (observed.step, seen.step))
    for id_, observation in observed.step.observations.items():
        if observation.heat is None or id_ not in then or id_ not in now:
            continue
        (x, y), (x_now, y_now) = then[id_].centre, now[id_].centre
        box = observation.heat.square
        moved = Box(box.xmin + x_now - x, box.ymin + y_now - y, box.xmax + x_now - x, box.ymax + y_now - y)
        yield Heat(moved, observation.heat.values)

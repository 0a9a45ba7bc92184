"""What the screen for aiming a camera shows: a ruler of face sizes, hints, rotation and regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec

from edge.errors import SettingsError
from edge.page.accuracy import Band
from edge.page.show_live import NO_CAMERA, Camera, camera_of
from edge.page.words import DRAWN_WIDTH, Region
from edge.page_messages import CameraView, LiveReply

RULER_PX = (24, 40, 80, 160)
"""Widths of the ruler's squares, pixels of the camera's picture: the ends of the bands of measured accuracy."""
MARGIN = 16
"""Space around each square of the ruler, in units of the drawing."""
TURNS = (0, 90, 180, 270)


class Square(NamedTuple):
    """A square of the ruler in the drawing, and the width of a face that it stands for."""

    x: float
    y: float
    size: float
    px: int


class Aim(NamedTuple):
    """Everything on the screen for one camera. ``turn`` is a rotation to offer, None for none."""

    camera: Camera
    cameras: tuple[str, ...]
    ruler: tuple[Square, ...]
    bands: Sequence[Band]
    rotate: int
    turn: int | None
    turns: tuple[int, ...]
    regions: str


Corner = Annotated[float, msgspec.Meta(ge=0, le=1)]
Drawn = Annotated[
    list[Annotated[list[tuple[Corner, Corner]], msgspec.Meta(min_length=3, max_length=40)]], msgspec.Meta(max_length=20)
]


class Regions(msgspec.Struct, forbid_unknown_fields=True):
    """Regions of one camera as the page's script sends them: corners as shares of the picture."""

    ignore: Drawn
    only: Drawn


def aim(reply: LiveReply, name: str, bands: Sequence[Band]) -> Aim:
    """Return what the screen shows of the camera ``name``; of the first if there is none of this name."""
    view = chosen(reply, name)
    if view is None:
        return Aim(NO_CAMERA, (), (), bands, 0, None, TURNS, "{}")
    camera = camera_of(view)
    return Aim(
        camera=camera,
        cameras=tuple(each.name for each in reply.cameras) if len(reply.cameras) > 1 else (),
        ruler=ruler(view.width, camera.height),
        bands=bands,
        rotate=view.rotate,
        turn=view.turn,
        turns=TURNS,
        regions=msgspec.json.encode({"ignore": view.ignore, "only": view.only}).decode(),
    )


def chosen(reply: LiveReply, name: str) -> CameraView | None:
    """Return the camera of this name, else the first one, else None."""
    views = {view.name: view for view in reply.cameras}
    return views.get(name) or next(iter(views.values()), None)


def ruler(width: int, height: int) -> tuple[Square, ...]:
    """Return the squares that fit side by side along the lower edge of a picture that is ``width`` pixels wide."""
    squares: list[Square] = []
    x = float(MARGIN)
    for px in RULER_PX:
        size = px * DRAWN_WIDTH / width if width else 0
        if not size or x + size > DRAWN_WIDTH - MARGIN or size > height - 2 * MARGIN:
            break
        squares.append(Square(x, height - MARGIN - size, size, px))
        # A label needs about this much, however small its square.
        x += max(size, 2 * MARGIN) + MARGIN
    return tuple(squares)


def rotation_changes(reply: LiveReply, name: str, turn: int) -> dict[str, str | None]:
    """Return the settings that turn one camera's picture: by name if there are several."""
    if turn not in TURNS:
        raise SettingsError(f"rotate: got {turn}, expected one of {', '.join(map(str, TURNS))}")
    if not _is_named(reply):
        return {"camera.rotate": str(turn)}
    turns = {view.name: turn if view.name == name else view.rotate for view in reply.cameras}
    return {"camera.rotations": _table({key: str(value) for key, value in turns.items()})}


def region_changes(reply: LiveReply, name: str, drawn: str) -> dict[str, str | None]:
    """Return the settings for the regions of one camera; those of the others stay. Raises SettingsError."""
    try:
        regions = msgspec.json.decode(drawn, type=Regions)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SettingsError(f"regions: {error}; draw them again") from error
    # "[]" and not a reset: the file below the overlay may have regions, which a reset would bring back.
    changes: dict[str, str | None] = {}
    for key, new in (("ignore", regions.ignore), ("only", regions.only)):
        of_camera = {view.name: new if view.name == name else getattr(view, key) for view in reply.cameras}
        texts = {camera: _list(found) for camera, found in of_camera.items() if found}
        changes[f"watch.{key}"] = _table(texts) if texts and _is_named(reply) else texts.get(name, "[]")
    return changes


def _is_named(reply: LiveReply) -> bool:
    return any(view.name for view in reply.cameras)


def _list(regions: Sequence[Sequence[tuple[float, float]]] | Sequence[Region]) -> str:
    """Return regions as TOML, to a thousandth of the picture."""
    return f"[{', '.join('[' + ', '.join(f'[{x:.3f}, {y:.3f}]' for x, y in each) + ']' for each in regions)}]"


def _table(texts: dict[str, str]) -> str:
    return "{ " + ", ".join(f"{msgspec.json.encode(name).decode()} = {text}" for name, text in texts.items()) + " }"

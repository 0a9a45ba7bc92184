"""Face sizes and angles from a camera's field of view, by the pinhole model: width in pixels = f / distance * width.

The manufacturers state the fields of view (Raspberry Pi documentation, "Camera hardware"; 60 degrees are common for
webcams). A sensor that is wider than the requested picture loses its sides: of a 16:9 sensor, a 4:3 picture keeps the
height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from docs.draw.svg import FAINT, INK, PAPER, Sheet
from edge import config

FACE_M = 0.15
"""Width of an adult's face, as the detector frames it, metres."""
SMALLEST_PX, LARGEST_PX = 40, 250
"""Face widths that the classifier judges well; ``camera.width`` in the settings names the same range."""
HEAD_M = 1.6
"""Median height of adults' faces above the floor, metres; most are within 0.15 of it."""
STEEPEST = 30.0
"""Largest angle from above, degrees, by rule of thumb: beyond it, brow and hair hide nose and mouth."""
CHIN_M = 0.12
"""From the middle of a face down to its chin, metres: the whole face must be in view."""


@dataclass(frozen=True, slots=True)
class Lens:
    """Field of view of a camera in degrees, for the whole sensor, whose width is ``aspect`` times its height."""

    name: str
    across: float
    down: float
    aspect: float
    colour: str

    def field(self, width: int, height: int) -> tuple[float, float]:
        """Return the degrees across and down that a picture of this size shows."""
        across, down = math.tan(math.radians(self.across / 2)), math.tan(math.radians(self.down / 2))
        if width / height < self.aspect:
            across = min(across, down * width / height)
        else:
            down = min(down, across * height / width)
        return 2 * math.degrees(math.atan(across)), 2 * math.degrees(math.atan(down))

    def focal_px(self, width: int, height: int) -> float:
        """Return the focal length for a picture of this size, pixels."""
        return width / 2 / math.tan(math.radians(self.field(width, height)[0] / 2))


LENSES: Sequence[Lens] = (
    Lens("Camera Module 2", 62.2, 48.8, 4 / 3, "#1d4ed8"),
    Lens("Camera Module 3", 66.0, 41.0, 16 / 9, "#15803d"),
    Lens("Camera Module 3 Wide", 102.0, 67.0, 16 / 9, "#c2410c"),
    Lens("USB webcam, 60° across", 60.0, 46.8, 4 / 3, "#7e22ce"),
)


def face_px(focal_px: float, distance_m: float) -> float:
    """Return the width of a face in the picture, pixels; ``distance_m`` is from the camera to the face."""
    return focal_px * FACE_M / distance_m


def looking_down(camera_m: float, face_m: float, distance_m: float) -> float:
    """Return the degrees from above at which a face is seen; below 0 from below. ``distance_m`` is along the floor."""
    return math.degrees(math.atan2(camera_m - face_m, distance_m))


def nearest_m(camera_m: float, tilt: float, half: float) -> float:
    """Return the distance along the floor from which on a whole face is in view, metres.

    ``tilt`` and ``half`` are degrees: how far the camera points down, and half its field of view from top to bottom.
    """
    return (camera_m - (HEAD_M - CHIN_M)) / math.tan(math.radians(tilt + half))


def sizes_table() -> str:
    """Return the table of face sizes: per camera its field of view, face widths, and the range that it judges well."""
    camera = config.load().camera
    rows = [
        f"| camera | shows at {camera.width} x {camera.height} | face at 1 m | at 2 m | at 3 m | judged well |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for lens in LENSES:
        focal = lens.focal_px(camera.width, camera.height)
        across, down = lens.field(camera.width, camera.height)
        sizes = " | ".join(f"{face_px(focal, distance):.0f} px" for distance in (1, 2, 3))
        near, far = focal * FACE_M / LARGEST_PX, focal * FACE_M / SMALLEST_PX
        rows.append(f"| {lens.name} | {across:.0f}° x {down:.0f}° | {sizes} | {near:.1f} to {far:.1f} m |")
    return "\n".join(rows) + "\n"


def resolution_table() -> str:
    """Return the table of the largest distance at which a face is large enough, by picture size."""
    rows = ["| picture | " + " | ".join(lens.name for lens in LENSES) + " |", "| --- |" + " --- |" * len(LENSES)]
    for width, height in ((640, 480), (960, 720), (1280, 960)):
        far = " | ".join(f"{lens.focal_px(width, height) * FACE_M / SMALLEST_PX:.1f} m" for lens in LENSES)
        rows.append(f"| {width} x {height} | {far} |")
    return "\n".join(rows) + "\n"


def angles_table() -> str:
    """Return the table of angles from above, by height of the camera and distance of the person along the floor."""
    distances = (1.0, 1.5, 2.0, 3.0)
    rows = [
        "| camera at | " + " | ".join(f"{distance:g} m away" for distance in distances) + " |",
        "| --- |" + " --- |" * len(distances),
    ]
    for height in (1.6, 1.8, 2.0, 2.3, 2.6):
        cells = []
        for distance in distances:
            degrees = looking_down(height, HEAD_M, distance)
            cells.append(f"{degrees:.0f}°" + (" too steep" if degrees > STEEPEST else ""))
        rows.append(f"| {height:g} m | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def sizes_picture() -> str:
    """Draw the width of a face over its distance, one curve per camera."""
    camera = config.load().camera
    sheet = Sheet(860, 430, "Width of a face in the picture over distance")
    left, bottom, width, height, far_m, most_px = 70, 370, 560, 310, 4.0, 300.0

    def at(distance_m: float, pixels: float) -> tuple[float, float]:
        return left + width * distance_m / far_m, bottom - height * min(pixels, most_px) / most_px

    sheet.words(20, 30, f"Width of a face in a picture of {camera.width} x {camera.height}", 17, bold=True)
    sheet.area([at(0, SMALLEST_PX), at(far_m, SMALLEST_PX), at(far_m, LARGEST_PX), at(0, LARGEST_PX)], "#dcfce7")
    sheet.words(
        left + width - 8, at(0, LARGEST_PX)[1] + 16, f"judged well: {SMALLEST_PX} to {LARGEST_PX} pixels", 12, "end"
    )
    for pixels in range(0, 301, 50):
        sheet.line([at(0, pixels), at(far_m, pixels)], FAINT, 0.5, "2 4")
        sheet.words(left - 8, at(0, pixels)[1] + 4, f"{pixels} px", 11, "end", FAINT)
    for tenths in range(0, 41, 5):
        sheet.words(at(tenths / 10, 0)[0], bottom + 18, f"{tenths / 10:g} m", 11, "middle", FAINT)
    for row, lens in enumerate(LENSES):
        focal = lens.focal_px(camera.width, camera.height)
        start = focal * FACE_M / most_px
        distances = [start + (far_m - start) * step / 60 for step in range(61)]
        sheet.line([at(distance, face_px(focal, distance)) for distance in distances], lens.colour, 2.5)
        sheet.line([(650, 90 + 24 * row), (674, 90 + 24 * row)], lens.colour, 2.5)
        sheet.words(682, 94 + 24 * row, lens.name, 12)
    sheet.line([at(0, most_px), at(0, 0), at(far_m, 0)])
    sheet.words(left + width / 2, bottom + 40, "distance from the camera to the face", 12, "middle")
    return sheet.svg()


def side_picture() -> str:
    """Draw a door from the side: the camera over it, its view, and the angles at which it sees faces."""
    camera_m, tilt, lens = 2.1, 12.0, LENSES[0]
    camera = config.load().camera
    sheet = Sheet(900, 490, "A camera over the door, from the side")
    scale, floor, wall = 150.0, 450.0, 40.0

    def at(away_m: float, up_m: float) -> tuple[float, float]:
        return wall + scale * away_m, floor - scale * up_m

    half = lens.field(camera.width, camera.height)[1] / 2
    reach_m = 5.0
    low, high = (math.tan(math.radians(tilt + side)) for side in (half, -half))
    # Down to the floor, and up to the title of the sheet.
    up_m = 2.65
    seen = [
        at(0.08, camera_m),
        at(camera_m / low, 0),
        at(reach_m, 0),
        at(reach_m, up_m),
        at((camera_m - up_m) / high, up_m),
    ]
    sheet.area(seen, "#e0f2fe")
    sheet.line([at(0, 0), at(5.4, 0)], width=3)
    sheet.line([at(0, 0), at(0, 2.6)], width=6)
    sheet.box(*at(-0.02, camera_m + 0.08), 16, 22, fill=INK)
    sheet.words(wall + 22, at(0, camera_m)[1] - 14, f"camera at {camera_m:g} m, tilted down {tilt:g}°", 13, bold=True)
    for distance in (1.0, 2.0, 3.0):
        _person(sheet, at(distance, 0), scale)
        x, y = at(distance, HEAD_M)
        sheet.line([at(0.08, camera_m), (x, y)], FAINT, 1, "4 3")
        pixels = face_px(lens.focal_px(camera.width, camera.height), math.hypot(distance, camera_m - HEAD_M))
        degrees = looking_down(camera_m, HEAD_M, distance)
        sheet.words(x + 26, y - 2, f"{pixels:.0f} px", 12, bold=True)
        sheet.words(x + 26, y + 14, f"from {degrees:.0f}° above", 11, colour=FAINT)
        sheet.words(x, floor + 18, f"{distance:g} m", 11, "middle", FAINT)
    nearest = nearest_m(camera_m, tilt, half)
    x = at(nearest, 0)[0]
    sheet.line([(x, floor + 8), (x, at(0, HEAD_M - CHIN_M)[1])], "#b91c1c", 1, "4 3")
    sheet.words(x, floor + 34, f"nearer than {nearest:.1f} m: face not in view", 11, "middle", "#b91c1c")
    sheet.words(
        wall - 20, 30, f"{lens.name}, {camera.width} x {camera.height}: its view, and faces in it", 15, bold=True
    )
    return sheet.svg()


def _person(sheet: Sheet, feet: tuple[float, float], scale: float) -> None:
    x, y = feet
    sheet.circle(x, y - scale * HEAD_M, scale * 0.12, fill="#fcd9b6")
    sheet.box(x - scale * 0.17, y - scale * 1.42, scale * 0.34, scale * 0.72, fill="#cbd5e1")
    for side in (-1, 1):
        sheet.line([(x + side * scale * 0.08, y - scale * 0.7), (x + side * scale * 0.1, y)], INK, 7)
    sheet.circle(x - scale * 0.12, y - scale * HEAD_M, 2, fill=PAPER)

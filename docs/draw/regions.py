"""Regions of the picture: an example of ``watch.ignore`` and ``watch.only``, as settings and as a drawing."""

from __future__ import annotations

from docs.draw.svg import FAINT, INK, Sheet

POSTER = [(0.06, 0.12), (0.24, 0.12), (0.24, 0.5), (0.06, 0.5)]
ENTRANCE = [(0.02, 0.98), (0.02, 0.06), (0.72, 0.06), (0.86, 0.98)]
FACES = [((0.15, 0.27), "on a poster: ignored"), ((0.48, 0.4), "counts"), ((0.86, 0.3), "outside: ignored")]
IGNORED, WATCHED, BAD = "#6b7280", "#1d4ed8", "#b91c1c"
WIDTH, HEIGHT, LEFT, TOP = 560, 420, 60, 60


def example() -> str:
    """Return the settings of the drawing, as a block for the page."""
    lines = [f"{key} = [{[list(corner) for corner in outline]}]" for key, outline in _regions()]
    return "\n".join(["```toml", "[watch]", *lines, "```", ""])


def _regions() -> list[tuple[str, list[tuple[float, float]]]]:
    return [("ignore", POSTER), ("only", ENTRANCE)]


def picture() -> str:
    """Draw the picture of a camera with an ignored poster, the watched entrance, and three faces."""
    sheet = Sheet(680, 510, "Regions of the picture")

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + x * WIDTH, TOP + y * HEIGHT

    sheet.words(LEFT, 26, "The centre of a face decides; x and y are shares of the picture", 15, bold=True)
    sheet.box(LEFT, TOP, WIDTH, HEIGHT, fill="#f8fafc")
    sheet.area([at(*corner) for corner in ENTRANCE], "#dbeafe", WATCHED)
    sheet.area([at(*corner) for corner in POSTER], "#e5e7eb", IGNORED)
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = at(share, share)
        sheet.words(x, TOP - 8, f"{share:g}", 11, "middle", FAINT)
        sheet.line([(x, TOP - 4), (x, TOP)], FAINT, 1)
        sheet.words(LEFT - 10, y + 4, f"{share:g}", 11, "end", FAINT)
        sheet.line([(LEFT - 4, y), (LEFT, y)], FAINT, 1)
    sheet.words(LEFT + WIDTH + 14, TOP - 8, "x", 12, colour=FAINT)
    sheet.words(LEFT - 10, TOP + HEIGHT + 22, "y", 12, "end", FAINT)
    for outline, colour in ((POSTER, IGNORED), (ENTRANCE, WATCHED)):
        for corner in outline:
            sheet.circle(*at(*corner), 4, fill=colour, colour=colour)
    sheet.words(*at(0.06, 0.56), "ignore", 13, colour=IGNORED, bold=True)
    sheet.words(at(0.06, 0)[0] + 6, at(0, 0.12)[1] + 14, "[0.06, 0.12]", 10, colour=INK)
    sheet.words(at(0.24, 0)[0] - 6, at(0, 0.5)[1] - 6, "[0.24, 0.5]", 10, "end", INK)
    sheet.words(*at(0.05, 0.93), "only", 13, colour=WATCHED, bold=True)
    for (x, y), what in FACES:
        face = at(x, y)
        counts = what == "counts"
        sheet.circle(*face, 24, fill="#fcd9b6")
        sheet.circle(*face, 3, fill=WATCHED if counts else BAD, colour=WATCHED if counts else BAD)
        sheet.words(face[0], face[1] + 42, what, 11, "middle", INK if counts else BAD)
    return sheet.svg()

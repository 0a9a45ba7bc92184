"""Write every drawing and table: ``python -m docs.draw``."""

from __future__ import annotations

from docs.draw.sheets import DRAWINGS, FOLDER, with_tables


def main() -> None:
    """Write all drawings, and the tables inside the pages."""
    for name, draw in DRAWINGS.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")
    for page in sorted(FOLDER.glob("*.md")):
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()

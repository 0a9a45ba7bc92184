"""``python -m fleet.grafana``: write the dashboards that Grafana reads. Needs grafana-foundation-sdk (Python 3.11)."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from fleet.grafana.content import DASHBOARDS
from fleet.grafana.panels import build

FOLDER = Path(__file__).with_name("dashboards")


def rendered(name: str) -> str:
    """Return the JSON of a dashboard, by its file name."""
    return JSONEncoder(sort_keys=True, indent=1).encode(build(DASHBOARDS[name])) + "\n"


def main() -> None:
    for name in DASHBOARDS:
        (FOLDER / name).write_text(rendered(name))


if __name__ == "__main__":
    main()

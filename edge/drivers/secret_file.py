"""Files that the settings name and that hold secrets: passwords, and addresses with passwords in them."""

from __future__ import annotations

from pathlib import Path

from edge.errors import SettingsError


def read_secret(setting: str, path: str) -> str:
    """Return the text of the file that ``setting`` names. Raises SettingsError, which quotes nothing of the text."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting}: {path}: {getattr(error, 'strerror', error)}") from error

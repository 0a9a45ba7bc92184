"""Files that the settings name and that hold secrets: passwords, and addresses with passwords in them.

Editors on Windows write a byte order mark and CRLF. Neither is part of the secret.
"""

from __future__ import annotations

from pathlib import Path

from edge import redaction
from edge.errors import SettingsError


def read_secret(setting: str, path: str) -> str:
    """Return the text of the file that ``setting`` names. Raises SettingsError, which quotes nothing of the text."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{setting}: {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        # The codec's own message quotes a byte of the secret.
        raise SettingsError(f"{setting}: {path}: not a text file in UTF-8; save it as one") from error
    for line in text.splitlines():
        redaction.learn(line.strip(), secret="://" not in line)
    return text

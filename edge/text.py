"""Text of strangers, made safe for terminals and logs: labels and names in model files, keys, topics, errors."""

from __future__ import annotations

import codecs
import unicodedata

MAX_LABEL = 64
"""Characters of a label or a name."""


def is_label(text: str, most: int = MAX_LABEL) -> bool:
    """Return whether ``text`` is printable, not blank and of at most ``most`` characters.

    Control characters, line breaks and marks that change the direction of writing are not printable.
    """
    return 0 < len(text) <= most and text.isprintable() and not text.isspace()


def escaped(text: str, most: int = 0) -> str:
    """Return ``text`` as one printable line: line breaks become spaces, and what a terminal would obey is escaped.

    ``most`` limits the characters, 0 does not.
    """
    if most and len(text) > most:
        text = f"{text[: most - 3]}..."
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def as_the_disk_has_it(error: UnicodeError) -> tuple[bytes, int]:
    """Encode what a terminal's encoding lacks: bytes of file names as they are on the disk, others escaped.

    An error handler of codecs, by the name of AS_THE_DISK_HAS_IT.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    # Bytes of a file name that are not UTF-8 are lone surrogates in Python.
    encoded = (
        bytes([ord(one) - 0xDC00]) if "\udc80" <= one <= "\udcff" else one.encode("ascii", "backslashreplace")
        for one in error.object[error.start : error.end]
    )
    return b"".join(encoded), error.end


AS_THE_DISK_HAS_IT = "fmd.as-the-disk-has-it"
codecs.register_error(AS_THE_DISK_HAS_IT, as_the_disk_has_it)


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if character.isspace() and (character in "\t\n\v\f\r\x85" or unicodedata.category(character).startswith("Z")):
        return " "
    # Bytes of a file name that are not UTF-8 arrive as lone surrogates.
    return character.encode("unicode_escape").decode()

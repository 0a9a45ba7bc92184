"""Docstrings for the documentation site, which knows Markdown: Sphinx' roles and Python sessions as it shows them."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":[a-z]+:`([^`]+)`")
SESSION = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
"""A Python session: from its first prompt to the next empty line."""


def markdown(text: str) -> str:
    """Return a docstring as Markdown: ``:class:`Box``` becomes code, a session becomes a block of code."""
    return SESSION.sub(r"```pycon\n\g<0>\n```", ROLE.sub(r"`\1`", text))


class Docstrings(griffe.Extension):
    """Changes the docstrings that mkdocstrings reads."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)

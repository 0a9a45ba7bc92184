"""How the pages read: README is short, sentences are short, and each thing has one name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.draw.sheets import DRAWINGS
from tests.edge.parts import ROOT

README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "systemd/README.md",
    ROOT / "fleet/README.md",
    ROOT / "tests/machine/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
TEMPLATES = sorted((ROOT / "edge/page/templates").glob("*.html"))
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
MAX_README_WORDS = 700
MAX_SENTENCE_WORDS = 25
AVOIDED = {
    r"tell|tells|told|retold|untold": "report, log, publish, print, send: name the action",
    r"looks?|looked": "an observation (of a face); to check, inspect, read",
    r"cures?|cured": "to fix",
    r"anew": "again",
    r"whoever|whom|whomever|somebody|nobody": "the user, the person, anyone who: name the actor",
    r"(?:so|as) many": "up to, at most",
    r"figures": "metrics",
    r"lets? in": "cleared: fmd opens no door",
    r"known trouble|of ours|all the way through|as (?:it|they) should": "plain words",
    r"bare|bare-faced": "without a mask",
}
"""Words that fmd's texts avoid -> what they say instead, so that one thing has one name."""


def prose(page: Path) -> str:
    """The text of a page without code blocks, tables and comments."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("|"))


def sentences(page: Path) -> list[str]:
    """The sentences of a page; headings, list items and paragraphs end one."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", prose(page))
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[*-]|\d+\.) )|^#.*$", text, flags=re.MULTILINE)
    joined = [" ".join(re.sub(r"^\s*(?:[*-]|\d+\.) ", "", block).split()) for block in blocks]
    return [sentence for block in joined for sentence in re.split(r"(?<=[.!?])\s+", block) if sentence]


def cells(page: Path) -> list[str]:
    """The cells of a page's tables."""
    return [
        cell
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
        for cell in line.split("|")
    ]


def test_readme_is_short() -> None:
    assert len(prose(README).split()) <= MAX_README_WORDS


@EVERY_PAGE
def test_sentences_are_short(page: Path) -> None:
    long = [sentence for sentence in sentences(page) if len(sentence.split()) > MAX_SENTENCE_WORDS]
    assert long == []


@EVERY_PAGE
def test_a_page_uses_the_same_words_as_all_others(page: Path) -> None:
    # What stands in code is a name or a message, and follows the program; CHANGELOG quotes old names.
    text = re.sub(r"`[^`\n]*`", "", "\n".join([prose(page), *cells(page)]))
    assert avoided_in(re.sub(r"\]\([^)]*\)", "", text)) == {}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_uses_the_same_words_as_the_pages(name: str) -> None:
    texts = re.findall(r"<text[^>]*>([^<]*)", DRAWINGS[name]())
    assert avoided_in("\n".join(text for text in texts if not text.startswith("alert."))) == {}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_a_screen_of_the_web_page_reads_as_the_pages_do(template: Path) -> None:
    text = re.sub(r"\{[{%#].*?[}%#]\}", " ", template.read_text(encoding="utf-8"), flags=re.DOTALL)
    blocks = re.split(r"</?(?:p|h\d|li|button|label|option|a|summary|span|th|dt|dd|div|title)\b[^>]*>", text)
    lines = [" ".join(re.sub(r"<[^>]*>", " ", block).split()) for block in blocks]
    assert avoided_in("\n".join(lines)) == {}
    sentences = [sentence for line in lines for sentence in re.split(r"(?<=[.!?])\s+", line)]
    assert [sentence for sentence in sentences if len(sentence.split()) > MAX_SENTENCE_WORDS] == []


def avoided_in(text: str) -> dict[str, str]:
    """Every avoided word in ``text`` -> what to write instead."""
    return {
        found: instead
        for words, instead in AVOIDED.items()
        for found in re.findall(rf"\b(?:{words})\b", text, re.IGNORECASE)
    }

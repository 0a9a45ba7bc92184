from __future__ import annotations

import pytest

from edge import toml
from edge.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[alert", "not valid TOML: "),
        ("a = 1\na = 2", "not valid TOML: "),
        (f"a = {'1' * 5000}", "a number that is too long, or brackets nested too deep"),
        (f"a = {'[' * 60000}", "a number that is too long, or brackets nested too deep"),
    ],
)
def test_text_that_is_no_toml_is_refused_with_its_place(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=f"^mine: not valid TOML: .*{why.partition('TOML: ')[2]}"):
        toml.parsed(text, "mine")


def test_bytes_may_begin_with_a_byte_order_mark_and_must_be_utf_8() -> None:
    assert toml.parsed(toml.decoded(b"\xef\xbb\xbfa = 1\r\n", "mine"), "mine") == {"a": 1}
    with pytest.raises(SettingsError, match="mine: not a text file in UTF-8"):
        toml.decoded(b"\xff", "mine")


@pytest.mark.parametrize(("text", "value"), [("22", 22), ("true", True), ("clip.mp4", "clip.mp4"), ("[" * 60000, None)])
def test_a_single_value_without_quotes_is_text(text: str, value: object) -> None:
    assert toml.value(text) == (text if value is None else value)


@pytest.mark.parametrize("value", [1.5, True, 'a "b"\n', [], [[[0.0, 1.0], [1, 2]]], {}, {"hall": 90, "a b": ["x"]}])
def test_a_value_in_one_line_is_read_back(value: object) -> None:
    assert "\n" not in toml.in_one_line(value)
    assert toml.value(toml.in_one_line(value)) == value


def test_what_is_written_is_read_back() -> None:
    values = {"version": 5, "a": {"b": [[0.5, 1.0]], "c": 'ü "\n\x7f', "d": True, "e": {"hall": 90}, "f": 1e-7}}
    assert toml.parsed(toml.written(values), "mine") == values

"""Wrong options of the command: each is named, with what is expected, before anything is started."""

from __future__ import annotations

import pytest

from simulation.fleet.__main__ import main


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "expected --serve, or a CHECK: visible, stolen"),
        ("--serve visible", "expected --serve, or a CHECK"),
        ("explode", "got 'explode', expected one of visible"),
        ("load visible", "load has doors of its own; run it alone"),
        ("--doors 5 alerts", "alerts needs --doors and --alone of at least 18, got 5"),
        ("--alone 0 cut", "cut needs --doors and --alone of at least 1, got 0"),
        ("--doors 0 visible", "--doors: got '0', expected 1 to 5000"),
        ("--seconds x quiet", "--seconds: got 'x', expected 1 to 86400"),
        ("--counts 10,x load", "--counts: got 'x', expected 1 to 5000"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_expected(
    given: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(given.split())
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err

"""A short run of the fuzzer of the page's HTTP interface; ``python -m tests.edge.page.fuzz`` makes longer ones."""

from __future__ import annotations

from pathlib import Path

from tests.edge.page.fuzz import fuzz


def test_odd_requests_cause_no_error_and_reach_the_service_where_they_may(tmp_path: Path) -> None:
    findings, asked = fuzz(300, seed=1, folder=tmp_path)
    assert findings == []
    # The requests are good enough to pass the gate, or this would be a test of the gate alone.
    assert {"LiveRequest", "ArmRequest", "ChangeRequest", "TestOutputRequest", "UploadRequest"} <= set(asked)

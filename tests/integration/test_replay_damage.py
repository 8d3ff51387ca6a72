"""A replay of several files of which one is damaged."""

from __future__ import annotations

from pathlib import Path

from pipeline import config
from pipeline.replay import replay

EVENT = (
    b'{"id":"%d","time":"2026-05-21T10:00:0%dZ","type":"order.submitted","service":"order-api"}\n'
)


def test_a_damaged_file_is_one_reject_and_the_others_are_judged(tmp_path: Path) -> None:
    good, torn = tmp_path / "good.ndjson", tmp_path / "torn.parquet"
    good.write_bytes(b"".join(EVENT % (i, i) for i in range(5)))
    torn.write_bytes(b"PAR1" + bytes(100))
    heard: list[str] = []
    found = replay([torn, good], config.parse(b"", {}).policy, warn=heard.append)
    assert found.counts.events == 5
    assert found.counts.rejected_by_reason == {"unreadable": 1}
    assert len(heard) == 1
    assert "torn.parquet" in heard[0]

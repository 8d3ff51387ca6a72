"""A daemon that is started again and again knows what it knew."""

from __future__ import annotations

from pathlib import Path

from pipeline import config
from pipeline.replay import replay
from tests.integration.serving import daemon, marker, ndjson, order


def test_a_release_marked_before_the_first_event_survives_every_restart(tmp_path: Path) -> None:
    begun = marker(id="m-1", deployment="d-1", version="2.0.0", replaces="1.0.0", share=0.5)
    orders = [
        order(i, version="2.0.0" if i % 2 else "1.0.0", outcome="lost" if i % 4 == 1 else "ok")
        for i in range(2_000)
    ]
    with daemon(tmp_path) as first:
        assert first.post(ndjson([begun])).status_code == 202
        assert first.post(ndjson(orders)).status_code == 202
        said = first.get("/v1/verdicts/d-1")
        assert said["verdict"] == "degraded"
        first.end()
    for _ in range(3):
        with daemon(tmp_path) as again:
            found = again.get("/v1/verdicts/d-1")
            assert (found["verdict"], found["action"]) == ("degraded", "rollback")
            assert found["first_degraded_at"] == said["first_degraded_at"]
            again.end()
    replayed = replay([tmp_path / "plimsoll.sqlite"], config.parse(b"", {}).policy)
    assert replayed.verdicts[0].first_degraded_at == said["first_degraded_at"]

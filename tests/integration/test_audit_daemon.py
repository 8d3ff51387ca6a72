"""An audit beside a running daemon: it reads what was taken in, and disturbs nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pipeline.audit_nightly import Child
from tests.integration.serving import daemon, marker, ndjson, order


def test_a_running_daemon_is_audited_without_its_canaries(tmp_path: Path) -> None:
    state = tmp_path / "state"
    before = [order(n, version="1.0", outcome="ok") for n in range(0, 1_500, 2)]
    during = [order(n + 1_500, version=("1.0", "1.1")[n % 2]) for n in range(400)]
    start = marker(time="2026-05-21T10:02:30Z")
    with daemon(state) as running:
        assert running.post(ndjson(before)).status_code == 202
        assert running.post(ndjson([start, *during])).status_code == 202
        settings = tmp_path / "plimsoll.yml"
        settings.write_text("watch: 1h\n")
        found = asyncio.run(Child(state, settings, splits=1)())
        assert running.counts()["events"] == 1_150
        assert running.end() == 0
    (service,) = found.services
    assert (service.environment, service.service) == ("production", "order-api")
    assert service.events == 950
    assert [(one.version, one.events) for one in service.left_out] == [("1.1", 200)]
    assert service.watch_seconds == 3_600
    assert found.finding == "fine"

"""Alerts through the outbox to a real Alertmanager: fired, kept alive, resolved, come back."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from msgspec import structs

from analyzers.facts import NS_PER_S
from analyzers.judging.verdict import Alert
from collector.keeping.checkpoint import Checkpoint, Entry, NewNotice
from dashboards.channels.alertmanager import Alertmanager
from dashboards.outbox import Delivered, deliver_due, key_of, payload_of

pytestmark = pytest.mark.integration

CONFIGURATION = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
FIRING = Alert(
    deployment="d-42",
    status="firing",
    at="2011-10-03T09:10:00Z",  # years ago, as in a replay
    summary="order-api 1.42.0 is degraded",
    description='one of eight orders is "rejected" in Zürich\nsince 09:00',
    labels={"service": "order-api", "version": "1.42.0", "environment": "production"},
    annotations={"runbook": "https://runbooks.example/orders", "owner": "team-orders"},
)
RESOLVED = structs.replace(FIRING, status="resolved", at="2011-10-03T12:00:00Z")


class Shown(msgspec.Struct):
    """An alert as Alertmanager gives it back."""

    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: str  # noqa: N815  # the API's word
    endsAt: str  # noqa: N815


def program(name: str) -> str:
    path = shutil.which(name) or shutil.which(f"prometheus-{name}")
    if path is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install prometheus-alertmanager)")
    return path


@contextmanager
def running(folder: Path, port: int = 0) -> Iterator[str]:
    """The address of an Alertmanager that remembers nothing from before."""
    (folder / "alertmanager.yml").write_text(CONFIGURATION, encoding="utf-8")
    command = [
        program("alertmanager"),
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / f'data-{time.time_ns()}'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.format=json",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                entry = json.loads(line)
                if entry.get("msg") == "Listening on":
                    break
            else:
                pytest.fail(f"Alertmanager did not start: {''.join(said)}")
            yield f"http://{entry['address']}"
        finally:
            process.terminate()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint.open(tmp_path / "state") as checkpoint:
        yield checkpoint


def queue(store: Checkpoint, alert: Alert) -> None:
    notice = NewNotice(key_of(alert), "alertmanager", alert.deployment, payload_of(alert))
    store.commit(Entry(notices=(notice,)))


def deliver(store: Checkpoint, url: str, now_ns: int) -> Delivered:
    async def delivering() -> Delivered:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await deliver_due(store, {"alertmanager": Alertmanager(url, client)}, now_ns)

    return asyncio.run(delivering())


def shown(url: str) -> list[Shown]:
    answer = httpx.get(f"{url}/api/v2/alerts", trust_env=False).raise_for_status()
    return msgspec.json.decode(answer.content, type=list[Shown])


def test_an_alert_fires_stays_alive_by_being_posted_again_and_resolves(
    tmp_path: Path, store: Checkpoint
) -> None:
    now_ns = time.time_ns()
    with running(tmp_path) as url:
        queue(store, FIRING)
        assert deliver(store, url, now_ns) == Delivered(sent=1)
        (first,) = shown(url)
        assert first.labels == {
            "alertname": "PlimsollReleaseDegraded",
            "service": "order-api",
            "release": "1.42.0",
            "deployment": "d-42",
            "environment": "production",
            "severity": "critical",
        }
        assert first.annotations["description"] == FIRING.description
        assert first.annotations["runbook_url"] == "https://runbooks.example/orders"
        assert first.annotations["event_time"] == "2011-10-03T09:10:00Z"

        later_ns = now_ns + 150 * NS_PER_S
        assert deliver(store, url, later_ns - 1) == Delivered()
        assert deliver(store, url, later_ns) == Delivered(repeated=1)
        (second,) = shown(url)
        assert second.startsAt == first.startsAt
        assert second.endsAt > first.endsAt

        queue(store, RESOLVED)
        assert deliver(store, url, time.time_ns()) == Delivered(sent=1)
        assert shown(url) == []
        assert deliver(store, url, later_ns * 2) == Delivered()
    assert [notice.state for notice in store.notices()] == ["delivered", "delivered"]


def test_amtool_finds_the_alert_by_its_identity(tmp_path: Path, store: Checkpoint) -> None:
    with running(tmp_path) as url:
        queue(store, FIRING)
        deliver(store, url, time.time_ns())
        found = subprocess.run(
            [program("amtool"), "alert", "query", f"--alertmanager.url={url}", "--output=json",
             "deployment=d-42", "service=order-api", "alertname=PlimsollReleaseDegraded"],
            capture_output=True,
            check=True,
        )  # fmt: skip
    (alert,) = msgspec.json.decode(found.stdout, type=list[Shown])
    assert alert.annotations["owner"] == "team-orders"


def test_an_alertmanager_that_was_away_and_forgot_is_told_again(
    tmp_path: Path, store: Checkpoint
) -> None:
    now_ns = time.time_ns()
    queue(store, FIRING)
    with running(tmp_path) as url:
        assert deliver(store, url, now_ns) == Delivered(sent=1)
        port = int(url.rsplit(":", 1)[1])
    now_ns += 150 * NS_PER_S
    assert deliver(store, url, now_ns) == Delivered(postponed=1)
    assert "cannot be reached" in store.notices()[0].error
    with running(tmp_path, port):
        assert shown(url) == []
        assert deliver(store, url, now_ns + NS_PER_S) == Delivered(repeated=1)
        assert [alert.labels["deployment"] for alert in shown(url)] == ["d-42"]


def test_names_from_outside_reach_alertmanager_as_they_are(
    tmp_path: Path, store: Checkpoint
) -> None:
    name = 'd "42"\n\\ Größe ✓ {x="y"}'
    with running(tmp_path) as url:
        queue(store, structs.replace(FIRING, deployment=name))
        assert deliver(store, url, time.time_ns()) == Delivered(sent=1)
        (alert,) = shown(url)
    assert alert.labels["deployment"] == name

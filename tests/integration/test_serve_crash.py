"""Whatever ends the daemon: nothing that was acknowledged is lost, nothing counts twice."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from analyzers.policy import Policy
from collector.keeping.checkpoint import FILE, Checkpoint
from pipeline import kept
from pipeline.config import parse
from pipeline.replay import replay
from tests.integration.serving import Daemon, daemon, marker, ndjson, order

pytestmark = pytest.mark.integration

BATCHES = 70
BATCH = 25
KILLS = 10


def batch(number: int) -> bytes:
    """Orders, now and then a marker, and a line that is none."""
    events: list[dict[str, object] | bytes] = [
        order(number * BATCH + place) for place in range(BATCH)
    ]
    if number == 0:
        events.append(marker())
    if number % 10 == 3:
        events.append(b"rubbish %d" % number)
    return ndjson(events)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a state directory holds: cells by digest, what was counted, and the log's own count."""

    cells: str
    counts: tuple[tuple[str, int], ...]


def kept_in(state: Path, counts: dict[str, int]) -> Kept:
    exact = ("events", "conflicts", "rejected", "markers")
    with Checkpoint.read(state / FILE) as checkpoint:
        bodies = checkpoint.load().cells
    whole = kept.merged(bodies, policy(), settled_ns=0, oldest_slice=0)
    return Kept(kept.decode(whole)[0].digest(), tuple((name, counts[name]) for name in exact))


def policy() -> Policy:
    return parse(b"", {}).policy


class Sender:
    """Sends every batch until it is acknowledged, to wherever the daemon is by then."""

    def __init__(self, order_of_batches: list[int]) -> None:
        self.left = list(order_of_batches)
        self.acknowledged: list[int] = []
        self.url = ""
        self.stop = False
        self.trouble: list[str] = []
        self._there = Event()
        self._thread = Thread(target=self._run, daemon=True)

    @contextmanager
    def sending(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self.stop = True
            self._there.set()
            self._thread.join()

    def moved(self, url: str) -> None:
        self.url = url
        self._there.set()

    def gone(self) -> None:
        self._there.clear()

    def done(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        with httpx.Client(timeout=60, trust_env=False) as client:
            while self.left and not self.stop:
                self._there.wait()
                try:
                    answer = client.post(f"{self.url}/v1/events", content=batch(self.left[0]))
                except httpx.TransportError:
                    continue  # nobody knows whether it was kept: it is sent again
                if answer.status_code == 202:
                    self.acknowledged.append(self.left.pop(0))
                elif answer.status_code not in (429, 503):
                    self.trouble.append(answer.text)
                    return


def serve_all(state: Path, sender: Sender, kills: int, draw: random.Random) -> Kept:
    """What is kept once every batch was acknowledged, the daemon killed so often meanwhile."""
    pause = Event()
    with sender.sending():
        for _ in range(kills):
            with daemon(state) as running:
                sender.moved(running.url)
                enough = len(sender.acknowledged) + draw.randrange(1, 6)
                while len(sender.acknowledged) < enough and not sender.done():
                    pause.wait(0.001)
                pause.wait(draw.random() * 0.05)
                sender.gone()
                running.kill()
        with daemon(state) as running:
            sender.moved(running.url)
            while not sender.done():
                pause.wait(0.01)
            assert not sender.trouble
            counts = running.counts()
            assert running.end() == 0
    return kept_in(state, counts)


def test_ten_kills_at_random_moments_leave_exact_counts(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    draw = random.Random(seed)
    batches = list(range(BATCHES))
    killed = Sender(batches)
    after_kills = serve_all(tmp_path / "killed", killed, KILLS, draw)
    clean = serve_all(tmp_path / "clean", Sender(batches), 0, draw)
    assert killed.acknowledged == batches, f"seed {seed}"
    assert after_kills == clean, f"seed {seed}"
    assert dict(clean.counts) == {
        "events": BATCHES * BATCH, "conflicts": 0, "rejected": BATCHES // 10, "markers": 1,
    }  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_that_is_told_to_end_keeps_what_it_acknowledged(
    tmp_path: Path, number: int
) -> None:
    sender = Sender(list(range(BATCHES)))
    pause = Event()
    with sender.sending(), daemon(tmp_path) as running:
        sender.moved(running.url)
        while len(sender.acknowledged) < 5:
            pause.wait(0.001)
        assert running.end(number) == 0
        sender.stop = True
        assert "everything that was acknowledged is kept" in running.lines[-1]
    with daemon(tmp_path) as running:
        events = running.counts()["events"]
        assert events >= len(sender.acknowledged) * BATCH
        told = running.post(b"\n".join(batch(number) for number in sender.acknowledged)).json()
        assert told["accepted"] == 0
        assert running.counts()["events"] == events


def test_a_replayed_intake_log_gives_the_live_counts_and_verdicts_again(tmp_path: Path) -> None:
    with daemon(tmp_path) as running:
        _send_shuffled(running)
        live = running.get("/v1/verdicts")["verdicts"]
        counts = running.counts()
        assert running.end() == 0
    again = replay([tmp_path / FILE], policy())
    assert again.counts.events == counts["events"]
    assert again.counts.rejected == counts["rejected"]
    assert again.counts.duplicates == counts["duplicates"]
    assert [(v.deployment, v.verdict, v.action) for v in again.verdicts] == [
        (v["deployment"], v["verdict"], v["action"]) for v in live
    ]


def _send_shuffled(running: Daemon) -> None:
    draw = random.Random(7)
    for number in range(12):
        lines = batch(number).splitlines()
        draw.shuffle(lines)
        assert running.post(b"\n".join(lines + lines[:5])).status_code == 202

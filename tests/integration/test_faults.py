"""Kill -9, a process that comes back from the dead, a kill while starting: nothing is lost, nothing
counts twice, and the cells are those of one fold of the distinct events."""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from analyzers.folding.cells import fold, merge
from collector.decoding.decode import decode
from collector.keeping.checkpoint import FILE, Checkpoint
from collector.keeping.state_file import LOCK_FILE
from collector.novelty.novel import Seen, keep_new
from pipeline import kept
from pipeline.config import parse
from tests.integration.serving import Daemon, daemon, marker, ndjson, order, start
from tests.simulation.life import part_of

pytestmark = pytest.mark.integration

POLICY = parse(b"", {}).policy
PRODUCERS = 3
BATCHES = 40  # of each producer
BATCH = 20
KILLS = 10
STARTS = 6


def batch(producer: int, number: int) -> bytes:
    """Orders of one producer, now and then with lines that are no events."""
    first = (number * PRODUCERS + producer) * BATCH
    events: list[dict[str, object] | bytes] = [order(first + place) for place in range(BATCH)]
    if number % 7 == producer:
        events += [b"rubbish %d" % first, order(first, outcome=5)]
    if number == producer == 0:
        events.append(marker())
    return ndjson(events)


def assert_one_fold(state: Path, bodies: Sequence[bytes]) -> None:
    """What is kept must be one fold of everything distinct in the bodies, to the last bit."""
    lines = [line for body in bodies for line in body.split(b"\n")]
    once = keep_new(
        decode(lines, attributes=POLICY.attributes(), limits=POLICY.limits), Seen()
    ).batch
    with Checkpoint.read(state / FILE) as checkpoint:
        checkpoint.verify()
        cells = merge([kept.decode(body)[0] for body in checkpoint.load().cells])
        assert len(checkpoint.rejects(10_000)) == len(once.rejects)
    wanted = fold(once.facts, once.rejects, POLICY, open_from=0)
    assert part_of(cells, due=False).digest() == wanted.digest()


class Producer:
    """Sends its batches in order, each until it is acknowledged, wherever the daemon is."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.acknowledged = 0
        self.trouble = ""
        self.url = ""
        self._there = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def moved(self, url: str) -> None:
        self.url = url
        self._there.set()

    def gone(self) -> None:
        self._there.clear()

    def done(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        with httpx.Client(timeout=30, trust_env=False) as client:
            while self.acknowledged < BATCHES and not self.trouble:
                self._there.wait()
                body = batch(self.number, self.acknowledged)
                try:
                    answer = client.post(f"{self.url}/v1/events", content=body)
                except httpx.TransportError:
                    continue  # nobody knows whether it was kept: it is sent again
                if answer.status_code == 202:
                    self.acknowledged += 1
                elif answer.status_code not in (429, 503):
                    self.trouble = answer.text


def test_ten_kills_under_the_load_of_several_producers_leave_the_cells_of_one_fold(
    tmp_path: Path,
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    draw, pause = random.Random(seed), Event()
    producers = [Producer(number) for number in range(PRODUCERS)]
    for kill in range(KILLS + 1):
        with daemon(tmp_path) as running:
            for producer in producers:
                producer.moved(running.url)
            enough = sum(one.acknowledged for one in producers) + draw.randrange(1, 12)
            while not all(one.done() for one in producers):
                if kill < KILLS and sum(one.acknowledged for one in producers) >= enough:
                    break
                pause.wait(0.002)
            pause.wait(draw.random() * 0.03)
            for producer in producers:
                producer.gone()
            if kill < KILLS:
                running.kill()
            else:
                counts = running.counts()
                assert running.end() == 0
    assert not any(one.trouble for one in producers), f"seed {seed}"
    assert counts["events"] == PRODUCERS * BATCHES * BATCH, f"seed {seed}"
    assert (counts["markers"], counts["conflicts"]) == (1, 0), f"seed {seed}"
    everything = [batch(one, number) for one in range(PRODUCERS) for number in range(BATCHES)]
    assert_one_fold(tmp_path, everything)


def _stopped(running: Daemon) -> None:
    """Waits until the process really stands still."""
    running.process.send_signal(signal.SIGSTOP)
    pause = Event()
    stat = Path(f"/proc/{running.process.pid}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "T":
        pause.wait(0.005)


def test_a_stopped_daemon_that_was_replaced_ends_with_an_error_when_it_comes_back(
    tmp_path: Path,
) -> None:
    bodies = [batch(0, number) for number in range(4)]
    pause = Event()
    with daemon(tmp_path) as zombie:
        assert zombie.post(bodies[0]).status_code == 202
        _stopped(zombie)
        (tmp_path / LOCK_FILE).unlink()  # as somebody does who takes it for dead
        with daemon(tmp_path) as heir:
            assert heir.post(bodies[1]).json()["accepted"] == BATCH
            zombie.process.send_signal(signal.SIGCONT)
            with pytest.raises((httpx.TransportError, ConnectionError)):  # noqa: PT012
                answer = zombie.post(bodies[2])
                assert answer.status_code == 503, answer.text
                raise ConnectionError("it says that it is ending")
            assert zombie.process.wait(60) == 1
            while not any("taken over by another process" in line for line in zombie.lines):
                pause.wait(0.01)
            told = heir.post(b"\n".join(bodies[:3])).json()
            assert (told["accepted"], told["duplicates"]) == (BATCH, 2 * BATCH + 1)
            assert heir.counts()["events"] == 3 * BATCH
            assert heir.end() == 0
    assert_one_fold(tmp_path, bodies[:3])


def _mark_of(state: Path) -> tuple[int, ...]:
    """Changes whenever something is written to the state."""
    paths = (state / FILE, state / f"{FILE}-wal")
    return tuple(part for path in paths if path.exists() for part in _written(path))


def _written(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def test_kills_while_starting_and_while_compacting_lose_nothing(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    draw, pause = random.Random(seed), Event()
    bodies = [batch(0, number) for number in range(BATCHES)]
    with daemon(tmp_path) as running:
        for body in bodies:  # a blob for each, and more of them than a start leaves unmerged
            assert running.post(body).status_code == 202
        before = running.counts()
        running.kill()
    compacted = 0
    for _ in range(STARTS):
        mark = _mark_of(tmp_path)
        process = start(tmp_path)
        # The first thing that a start writes is who it is; loading and compacting follow.
        while _mark_of(tmp_path) == mark:
            assert process.poll() is None, f"seed {seed}"
            pause.wait(0.001)
        pause.wait(draw.random() * 0.1)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        with Checkpoint.read(tmp_path / FILE) as checkpoint:
            checkpoint.verify()
            compacted += len(checkpoint.load().cells) < BATCHES
    with daemon(tmp_path) as running:
        after = running.counts()
        assert running.end() == 0
    assert after == before, f"seed {seed}, {compacted} of {STARTS} after compaction"
    assert_one_fold(tmp_path, bodies)

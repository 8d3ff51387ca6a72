"""The engine on a real checkpoint: group commit, silence, a disk that refuses, what it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from analyzers.policy import Limits
from collector.keeping.checkpoint import FILE, Checkpoint, Sought
from collector.posted.waiting import Answer, ClosedError, WaitingRoom
from dashboards.snapshot import Snapshot
from pipeline import clock
from pipeline.clock import StreamClock
from pipeline.config import parse
from pipeline.embedded import Engine, EngineError
from pipeline.intake_log import decode_turn
from pipeline.pieces import Incoming
from pipeline.turns import KeptTurns, Pace
from tests.integration.serving import marker, order

S = 1_000_000_000
SETTINGS = parse(b"", {})
IMPATIENT = Pace(pauses_s=(0.0, 0.0), sleep=lambda _: None)

pytestmark = pytest.mark.integration

Work = Callable[["Bench"], Awaitable[None]]


class Hands:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Bench:
    """An engine with everything real but the clock."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.hands = Hands()
        self.said: list[str] = []
        self.room = WaitingRoom(events=1000, size=1 << 20, closed="loading")
        self.engine = Engine(
            room=self.room,
            load=lambda: KeptTurns.load(checkpoint, SETTINGS, pace=IMPATIENT),
            clock=StreamClock(monotonic=self.hands),
            limits=Limits(),
            now_s=clock.monotonic_s,
            say=self.said.append,
            refused=dict,
        )

    async def submit(self, *events: dict[str, object] | bytes) -> Answer:
        payloads = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]
        return await self.room.submit(payloads, now_s=clock.monotonic_s())

    async def until(self, seen: Callable[[Snapshot], bool]) -> Snapshot:
        """The first snapshot of which something is true."""
        while True:
            told = self.engine.snapshot()
            if seen(told):
                return told
            await asyncio.sleep(0.005)


def run(state: Path, work: Work) -> Bench:
    """Runs an engine around some work, to its end."""

    async def around() -> Bench:
        with Checkpoint.open(state) as checkpoint:
            bench = Bench(checkpoint)
            running = asyncio.create_task(bench.engine.run())
            try:
                await bench.until(lambda told: told.vitals.ready or running.done())
                await work(bench)
            finally:
                bench.engine.stop()
                await running
            return bench

    return asyncio.run(around())


def test_requests_that_come_together_share_one_commit(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        answers = await asyncio.gather(
            *(bench.submit(order(n), order(n), b"rubbish %d" % n) for n in range(20))
        )
        assert all(one.accepted == 1 and one.duplicates == 1 for one in answers)
        assert all([r.index for r in one.rejected] == [2] for one in answers)
        told = bench.engine.snapshot()
        assert (told.tallies.events, told.tallies.rejected) == (20, 20)
        assert told.vitals.turns <= 2

    run(tmp_path, work)


def test_an_event_that_two_requests_bring_at_once_counts_for_one_of_them(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        answers = await asyncio.gather(*(bench.submit(order(1), marker()) for _ in range(5)))
        assert sorted(one.accepted for one in answers) == [0, 0, 0, 0, 2]
        assert sum(one.duplicates for one in answers) == 8
        told = bench.engine.snapshot()
        assert (told.tallies.events, told.tallies.markers) == (1, 1)

    run(tmp_path, work)


def test_a_request_larger_than_a_turn_is_answered_when_all_of_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.embedded.TURN_EVENTS", 7)

    async def work(bench: Bench) -> None:
        orders = [order(n) for n in range(20)]
        first, second = await asyncio.gather(
            bench.submit(*orders, b"rubbish", order(3), order(20)),
            bench.submit(order(21), b"other rubbish"),
        )
        assert (first.accepted, first.duplicates) == (21, 1)
        assert [one.index for one in first.rejected] == [20]
        assert (second.accepted, [one.index for one in second.rejected]) == (1, [1])
        told = bench.engine.snapshot()
        assert told.tallies.events == 22
        assert told.vitals.turns >= 4

    run(tmp_path, work)


def test_a_stop_of_all_traffic_is_noticed(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.submit(marker(), *(order(n) for n in range(200)))
        before = bench.engine.snapshot()
        assert before.watermark_ns is not None
        bench.hands.now += 6 * 3600 * S
        after = await bench.until(
            lambda told: (told.watermark_ns or 0) > (before.watermark_ns or 0) + 5 * 3600 * S
        )
        assert after.quiet_s == 6 * 3600
        assert "All traffic has stopped since" in after.releases["d-1"].verdict.why
        assert after.releases["d-1"].verdict.action == "wait"

    run(tmp_path, work)


def test_without_any_event_no_time_passes(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        bench.hands.now += 3600 * S
        await bench.submit(b"rubbish")
        told = bench.engine.snapshot()
        assert (told.watermark_ns, told.now_ns, told.quiet_s) == (None, None, None)

    run(tmp_path, work)


def test_after_a_restart_the_stream_goes_on_where_it_stood(tmp_path: Path) -> None:
    async def first(bench: Bench) -> None:
        await bench.submit(marker(), *(order(n) for n in range(600)))

    async def second(bench: Bench) -> None:
        told = bench.engine.snapshot()
        assert told.tallies.events == 600
        assert told.releases["d-1"].verdict.service == "order-api"
        assert told.now_ns == before.now_ns
        assert (await bench.submit(order(3))).duplicates == 1
        evidence = await bench.engine.evidence("d-1")
        assert [one.type for one in evidence.markers] == ["deployment.started"]
        assert any(any(one.baseline) for one in evidence.series)

    before = run(tmp_path, first).engine.snapshot()
    run(tmp_path, second)


MANY = [order(n, subject=f"customer {n * 7919}") for n in range(2, 900)]


def fill(bench: Bench) -> int:
    """Lets the state file grow no more; gives back how large it might become before."""
    (before,) = bench.checkpoint._db.execute("PRAGMA max_page_count").fetchone()
    (pages,) = bench.checkpoint._db.execute("PRAGMA page_count").fetchone()
    bench.checkpoint._db.execute(f"PRAGMA max_page_count = {pages}")
    return int(before)


def test_with_a_full_disk_the_daemon_waits_and_goes_on_with_nothing_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.embedded.REFUSED_PAUSES_S", (0.01,))

    async def work(bench: Bench) -> None:
        await bench.submit(marker(), order(1))
        before = fill(bench)
        waiting = asyncio.create_task(bench.submit(*MANY, order(1)))
        told = await bench.until(lambda told: not told.vitals.ready)
        assert told.tallies.events == 1
        assert (await bench.engine.evidence("d-1")).series == []
        with pytest.raises(ClosedError, match=r"nothing can be kept now .*disk is full.*later"):
            await bench.submit(order(901))
        assert not waiting.done()
        bench.checkpoint._db.execute(f"PRAGMA max_page_count = {before}")
        answer = await waiting
        assert (answer.accepted, answer.duplicates) == (len(MANY), 1)
        told = await bench.until(lambda told: told.vitals.ready)
        assert told.tallies.events == 1 + len(MANY)
        assert (await bench.submit(order(901), order(2))).accepted == 1

    said = run(tmp_path, work).said
    assert len([line for line in said if "nothing can be kept, so nothing is taken" in line]) == 1
    assert "the disk takes what comes in again; nothing was lost" in said


def test_a_daemon_with_a_full_disk_can_be_ended_and_nothing_was_acknowledged(
    tmp_path: Path,
) -> None:
    async def kept(bench: Bench) -> None:
        assert (await bench.submit(order(1))).accepted == 1

    async def full(bench: Bench) -> None:
        fill(bench)
        waiting = asyncio.create_task(bench.submit(*MANY))
        await bench.until(lambda told: not told.vitals.ready)
        bench.engine.stop()
        with pytest.raises(ClosedError, match="could not keep this; send it again later"):
            await waiting
        with pytest.raises(ClosedError, match=r"the daemon (is stopping|has stopped)"):
            await bench.submit(order(901))

    async def again(bench: Bench) -> None:
        assert bench.engine.snapshot().tallies.events == 1
        assert (await bench.submit(order(1), order(2))).accepted == 1

    run(tmp_path, kept)
    with pytest.raises(EngineError, match=r"disk is full.*Nothing that was acknowledged is lost"):
        run(tmp_path, full)
    run(tmp_path, again)


def test_upkeep_that_the_disk_refuses_is_put_off(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        for n in range(40):
            await bench.submit(order(n))

    run(tmp_path, work)
    with Checkpoint.open(tmp_path) as checkpoint:
        turns = KeptTurns.load(checkpoint, SETTINGS)
        checkpoint._db.execute("PRAGMA query_only = ON")
        assert "may not be written" in turns.upkeep().trouble
        checkpoint._db.execute("PRAGMA query_only = OFF")
        assert turns.upkeep().trouble == ""


def test_a_daemon_whose_state_was_taken_over_stops(tmp_path: Path) -> None:
    with Checkpoint.open(tmp_path) as checkpoint:
        turns = KeptTurns.load(checkpoint, SETTINGS, pace=IMPATIENT)
        checkpoint._db.execute("UPDATE fence SET epoch = epoch + 1")
        with pytest.raises(EngineError, match=r"taken over by another process .*must stop"):
            turns.take([Incoming([json.dumps(order(1)).encode()])], None)
        with pytest.raises(EngineError, match="taken over by another process"):
            turns.upkeep()


def test_a_state_that_cannot_be_understood_is_told_with_its_remedy(tmp_path: Path) -> None:
    async def nothing(bench: Bench) -> None:
        await bench.submit(order(1))

    run(tmp_path, nothing)
    with Checkpoint.open(tmp_path) as checkpoint:
        checkpoint._db.execute(
            "UPDATE cells SET codec = 'raw', size = 1, stored = 1, crc = 3523407757, body = x'00'"
        )
    with pytest.raises(EngineError, match=r"cannot be understood .*choose another --state"):
        run(tmp_path, nothing)


def test_whoever_looks_on_hears_what_arrives_and_what_changes(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.submit(marker(), order(1), order(1), b"rubbish")
        await bench.submit(order(400))

    said = run(tmp_path, work).said
    assert "events: 2 accepted, 1 seen before, 1 rejected (not_json 1)" in said
    assert any(line.startswith("release d-1: no_data, wait.") for line in said)


def test_upkeep_keeps_a_restart_short_and_changes_nothing(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        for n in range(80):
            await bench.submit(order(n * 10), order(n * 10 + 1))

    cells = run(tmp_path, work).engine.snapshot().tallies
    with Checkpoint.open(tmp_path) as checkpoint:
        turns = KeptTurns.load(checkpoint, SETTINGS)
        before = turns._state.cells().digest()
        assert checkpoint.counts().cells_blobs > 32
        growth = turns.upkeep()
        assert checkpoint.counts().cells_blobs <= 8
        assert growth.series.value > 0
        again = KeptTurns.load(checkpoint, SETTINGS)
        assert again._state.cells().digest() == before
        assert again.snapshot().tallies == cells


def test_a_reject_that_is_tried_once_more_counts_exactly_once(tmp_path: Path) -> None:
    good = json.dumps(order(5)).encode()

    async def work(bench: Bench) -> None:
        bad = [b"rubbish", b"[]"]
        await bench.submit(order(1), *bad)
        before = bench.engine.snapshot().tallies
        rows = [one.row for one in bench.checkpoint.kept_rejects(Sought())]
        answer = await bench.room.submit([good, b"[]"], now_s=clock.monotonic_s(), replays=rows)
        assert (answer.accepted, answer.duplicates) == (1, 0)
        assert [one.index for one in answer.rejected] == [1]
        after = bench.engine.snapshot().tallies
        assert (before.events, before.rejected) == (1, 2)
        assert (after.events, after.rejected) == (2, 2)
        (left,) = bench.checkpoint.kept_rejects(Sought())
        assert left.row == rows[1]
        # Whatever another mapping makes of the message: it has been counted as refused.
        worse = json.dumps(order(9, time="no time")).encode()
        await bench.room.submit([worse], now_s=clock.monotonic_s(), replays=[left.row])
        (left,) = bench.checkpoint.kept_rejects(Sought())
        assert (left.row, left.reject.reason) == (rows[1], "time_invalid")
        assert left.reject.payload == b"[]"
        assert bench.engine.snapshot().tallies.rejected == 2

    run(tmp_path, work)
    with Checkpoint.read(tmp_path / FILE) as checkpoint:
        turns = [decode_turn(body) for _, body in checkpoint.intake_log()]
    assert [turn.retried for turn in turns if turn.payloads] == [(), (0, 1), (0,)]

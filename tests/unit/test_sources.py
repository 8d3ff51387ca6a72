"""A source that is read: in order, once, with patience, and stopped before it is drained."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from collector.posted.waiting import Answer, Rejected, Request, WaitingRoom
from collector.source import Part, RawBatch, SourceBusyError, SourceError
from pipeline.sources import Patience, Pulling

QUICK = Patience(poll_s=0.001, busy_pauses_s=(0.001,), closed_pause_s=0.001, idle_s=0.05)


@dataclass
class Listed:
    """A source that is a list of what each poll gives: parts, or what it raises."""

    script: list[Part | Exception]
    opened: Mapping[str, str] | None = None
    committed_parts: list[Part] = field(default_factory=list)
    closed: bool = False
    label: str = "listed"

    def open(self, positions: Mapping[str, str]) -> None:
        if self.script and isinstance(self.script[0], Exception):
            raise self.script.pop(0)  # type: ignore[misc]
        self.opened = positions

    def poll(self, *, events: int, wait_s: float) -> RawBatch:
        assert events > 0
        assert wait_s > 0
        if not self.script:
            return RawBatch()
        found = self.script.pop(0)
        if isinstance(found, Exception):
            raise found
        return RawBatch((found,), {"tombstone": 1}, ("noted",))

    def committed(self, parts: Sequence[Part]) -> None:
        self.committed_parts += parts

    def close(self) -> None:
        self.closed = True


def part(begin: int, end: int, *, behind: bool = False) -> Part:
    return Part(
        "listed/0",
        [b"%d" % number for number in range(begin, end)],
        np.arange(begin, end),
        str(begin) if begin else None,
        str(end),
        behind=behind,
    )


@dataclass
class Turns:
    """Takes what waits, one request after the other, and answers by ``judge``."""

    room: WaitingRoom
    judge: Callable[[Request], Answer] = lambda _: Answer()
    taken: list[Request] = field(default_factory=list)

    async def run(self) -> None:
        while True:
            await self.room.wait(timeout_s=0.01)
            for request in self.room.take(events=1, size=1):
                self.taken.append(request)
                request.settle(self.judge(request))
                self.room.release([request])


def around(work: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(limited())


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for happens in other threads too
        await asyncio.sleep(0.001)


def test_what_is_read_is_taken_in_order_with_its_positions_and_acknowledged_after() -> None:
    async def work() -> None:
        said: list[str] = []
        source = Listed([part(0, 3), part(3, 5), part(5, 6)])
        room = WaitingRoom(events=100, size=1_000)
        turns = Turns(room)
        pulling = Pulling(source, room, now_s=lambda: 0.0, say=said.append, patience=QUICK)
        reading = asyncio.create_task(pulling.run({"listed/0": "0"}))
        taking = asyncio.create_task(turns.run())
        await until(lambda: len(source.committed_parts) == 3)
        pulling.stop()
        await reading
        taking.cancel()
        assert source.opened == {"listed/0": "0"}
        assert source.closed
        brought = [r for r in turns.taken if r.source != "listed"]
        assert [r.part for r in brought] == source.committed_parts
        assert [r.source for r in brought] == ["listed/0"] * 3
        assert [dict(r.ignored) for r in brought] == [{"tombstone": 1}] * 3
        # Once, after its first parts: from here on the engine waits for it no longer.
        assert [r.source for r in turns.taken].index("listed") == 1
        assert len(turns.taken) == 4
        assert said == ["listed: noted"] * 3
        assert (pulling.vitals.read, pulling.vitals.ignored) == (6, {"tombstone": 3})

    around(work())


def test_a_source_that_does_not_answer_is_asked_again_and_said_once() -> None:
    async def work() -> None:
        said: list[str] = []
        away = SourceBusyError("nobody at broker:9092")
        source = Listed([away, away, part(0, 1), away, away, part(1, 2)])
        room = WaitingRoom(events=100, size=1_000)
        pulling = Pulling(source, room, now_s=lambda: 0.0, say=said.append, patience=QUICK)
        reading = asyncio.create_task(pulling.run({}))
        taking = asyncio.create_task(Turns(room).run())
        await until(lambda: len(source.committed_parts) == 2)
        pulling.stop()
        await reading
        taking.cancel()
        assert [line for line in said if "noted" not in line] == [
            "listed does not answer: nobody at broker:9092",
            "listed answers again",
            "listed does not answer: nobody at broker:9092",
            "listed answers again",
        ]
        assert not pulling.vitals.trouble

    around(work())


def test_a_source_that_needs_a_person_stops_and_says_what_to_do() -> None:
    async def work() -> None:
        said: list[str] = []
        source = Listed([SourceError("the password is wrong: mend security.password")])
        room = WaitingRoom(events=100, size=1_000)
        pulling = Pulling(source, room, now_s=lambda: 0.0, say=said.append, patience=QUICK)
        turns = Turns(room)
        taking = asyncio.create_task(turns.run())
        await pulling.run({})
        taking.cancel()
        assert [r.source for r in turns.taken] == ["listed"]  # nobody waits for it any more
        assert said == ["listed stops: the password is wrong: mend security.password"]
        assert pulling.vitals.stopped
        assert source.closed

    around(work())


@pytest.mark.parametrize(("bad", "stops"), [(0.4, False), (0.6, True)])
def test_a_source_of_which_most_is_rejected_is_left_alone(bad: float, *, stops: bool) -> None:
    def judged(request: Request) -> Answer:
        rejected = range(int(bad * len(request.payloads)))
        return Answer(rejected=tuple(Rejected(place, "mapping", "no qty") for place in rejected))

    async def work() -> None:
        said: list[str] = []
        source = Listed([part(begin, begin + 100) for begin in range(0, 3_000, 100)])
        room = WaitingRoom(events=10_000, size=1_000_000)
        pulling = Pulling(source, room, now_s=lambda: 0.0, say=said.append, patience=QUICK)
        reading = asyncio.create_task(pulling.run({}))
        taking = asyncio.create_task(Turns(room, judged).run())
        await until(lambda: not source.script or reading.done())
        pulling.stop()
        await reading
        taking.cancel()
        assert pulling.vitals.stopped is stops
        # Ten batches are looked at; one more may be under way. The rest is still in the source.
        assert (len(source.script) > 15) is stops
        assert any("600 of the last 1000 payloads were rejected" in line for line in said) is stops

    around(work())


def test_what_cannot_be_kept_now_is_offered_again_and_not_read_twice() -> None:
    async def work() -> None:
        source = Listed([part(0, 3)])
        room = WaitingRoom(events=100, size=1_000, closed="the disk is full")
        pulling = Pulling(source, room, now_s=lambda: 0.0, say=lambda _: None, patience=QUICK)
        reading = asyncio.create_task(pulling.run({}))
        turns = Turns(room)
        taking = asyncio.create_task(turns.run())
        await until(lambda: not source.script)
        assert not source.committed_parts
        room.open()
        await until(lambda: bool(source.committed_parts))
        pulling.stop()
        await reading
        taking.cancel()
        assert [r.source for r in turns.taken] == ["listed/0", "listed"]

    around(work())


def test_a_source_waits_for_room_and_leaves_half_of_it_to_others() -> None:
    async def work() -> None:
        room = WaitingRoom(events=10, size=1_000)
        source = Listed([part(0, 4), part(4, 8)])
        pulling = Pulling(source, room, now_s=lambda: 0.0, say=lambda _: None, patience=QUICK)
        other = asyncio.create_task(room.submit([b"1", b"2"], now_s=0.0))
        await until(lambda: room.events == 2)
        reading = asyncio.create_task(pulling.run({}))
        await until(lambda: len(source.script) == 1)
        assert room.events == 2
        turns = Turns(room)
        taking = asyncio.create_task(turns.run())
        await until(lambda: len(source.committed_parts) == 2)
        await other
        pulling.stop()
        await reading
        taking.cancel()

    around(work())


def test_a_partition_that_gives_nothing_for_long_holds_nobody_up() -> None:
    async def work() -> None:
        now = [0.0]
        source = Listed([part(0, 1, behind=True)])
        room = WaitingRoom(events=100, size=1_000)
        turns = Turns(room)
        pulling = Pulling(source, room, now_s=lambda: now[0], say=lambda _: None, patience=QUICK)
        reading = asyncio.create_task(pulling.run({}))
        taking = asyncio.create_task(turns.run())
        await until(lambda: len(turns.taken) == 2)
        assert pulling.vitals.behind == 1
        now[0] = 1.0
        await until(lambda: len(turns.taken) == 3)
        pulling.stop()
        await reading
        taking.cancel()
        told = turns.taken[2].part
        assert told is not None
        assert (told.source, told.behind, told.after) == ("listed/0", False, None)
        assert pulling.vitals.behind == 0

    around(work())


def test_a_source_that_does_not_answer_is_waited_for_only_so_long() -> None:
    async def work() -> None:
        now = [0.0]
        source = Listed([SourceBusyError("nobody there")] * 500)
        room = WaitingRoom(events=100, size=1_000)
        turns = Turns(room)
        pulling = Pulling(source, room, now_s=lambda: now[0], say=lambda _: None, patience=QUICK)
        reading = asyncio.create_task(pulling.run({}))
        taking = asyncio.create_task(turns.run())
        await until(lambda: len(source.script) < 450)
        assert not turns.taken
        now[0] = 1.0
        await until(lambda: len(turns.taken) == 1)
        assert turns.taken[0].source == "listed"
        pulling.stop()
        await reading
        taking.cancel()

    around(work())


def test_of_a_source_that_is_not_proven_yet_little_is_read_at_once() -> None:
    async def work() -> None:
        asked: list[int] = []
        source = Listed([part(begin, begin + 500) for begin in range(0, 3_000, 500)])
        poll = source.poll

        def noted(*, events: int, wait_s: float) -> RawBatch:
            asked.append(events)
            return poll(events=events, wait_s=wait_s)

        source.poll = noted  # type: ignore[method-assign]
        room = WaitingRoom(events=10_000, size=1_000_000)
        pulling = Pulling(source, room, now_s=lambda: 0.0, say=lambda _: None, patience=QUICK)
        reading = asyncio.create_task(pulling.run({}))
        taking = asyncio.create_task(Turns(room).run())
        await until(lambda: len(source.committed_parts) == 6)
        pulling.stop()
        await reading
        taking.cancel()
        assert asked[:3] == [1_000, 1_000, QUICK.batch_events]

    around(work())


@pytest.mark.parametrize("ends", [SourceError("mend the password"), SourceBusyError("away")])
def test_a_source_in_trouble_with_more_to_give_holds_nobody_up(ends: Exception) -> None:
    async def work() -> None:
        now = [0.0]
        source = Listed([part(0, 1, behind=True), *[ends] * 500])
        room = WaitingRoom(events=100, size=1_000)
        turns = Turns(room)
        pulling = Pulling(source, room, now_s=lambda: now[0], say=lambda _: None, patience=QUICK)
        reading = asyncio.create_task(pulling.run({}))
        taking = asyncio.create_task(turns.run())
        await until(lambda: len(source.script) < 500)
        now[0] = 1.0
        await until(lambda: len(turns.taken) == 3)
        told = turns.taken[2].part
        assert told is not None
        assert (told.source, told.behind, told.after) == ("listed/0", False, None)
        pulling.stop()
        await reading
        taking.cancel()

    around(work())


def test_a_source_that_stops_because_of_its_rejects_holds_nobody_up() -> None:
    def refused(request: Request) -> Answer:
        return Answer(
            rejected=tuple(Rejected(n, "mapping", "") for n in range(len(request.payloads)))
        )

    async def work() -> None:
        source = Listed([part(begin, begin + 500, behind=True) for begin in range(0, 9_000, 500)])
        room = WaitingRoom(events=10_000, size=1_000_000)
        turns = Turns(room, refused)
        pulling = Pulling(source, room, now_s=lambda: 0.0, say=lambda _: None, patience=QUICK)
        taking = asyncio.create_task(turns.run())
        await pulling.run({})
        taking.cancel()
        assert pulling.vitals.stopped
        told = turns.taken[-1].part
        assert told is not None
        assert (told.source, told.behind) == ("listed/0", False)

    around(work())

"""Requests wait in order, within limits on events and bytes, and every one gets its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from collector.posted.waiting import Answer, BusyError, ClosedError, WaitingRoom


def small_room() -> WaitingRoom:
    return WaitingRoom(events=4, size=100)


async def waiting(room: WaitingRoom, *requests: Sequence[bytes]) -> list[asyncio.Task[Answer]]:
    """The requests as tasks, each already in the room."""
    tasks = [asyncio.create_task(room.submit(payloads, now_s=0.0)) for payloads in requests]
    for _ in tasks:
        await asyncio.sleep(0)
    return tasks


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_requests_are_taken_in_order_and_each_hears_its_own_answer() -> None:
    async def work() -> None:
        room = small_room()
        first, second = await waiting(room, [b"a"], [b"b", b"c"])
        taken = room.take(events=10, size=100)
        assert [list(request.payloads) for request in taken] == [[b"a"], [b"b", b"c"]]
        for request in taken:
            request.settle(Answer(accepted=len(request.payloads)))
        room.release(taken)
        assert (await first).accepted == 1
        assert (await second).accepted == 2
        assert (room.events, room.size) == (0, 0)

    run(work())


def test_a_turn_takes_at_least_one_request_and_no_more_than_fit() -> None:
    async def work() -> None:
        room = small_room()
        tasks = await waiting(room, [b"a", b"b"], [b"c"])
        assert len(room.take(events=1, size=100)) == 1
        assert len(room.take(events=10, size=0)) == 1
        assert room.take(events=10, size=100) == []
        for task in tasks:
            task.cancel()

    run(work())


def test_an_empty_request_is_answered_at_once() -> None:
    async def work() -> None:
        assert await small_room().submit([], now_s=0.0) == Answer()

    run(work())


def test_a_full_room_sends_requests_away_until_a_turn_is_over() -> None:
    async def work() -> None:
        room = small_room()
        (task,) = await waiting(room, [b"a", b"b", b"c"])
        taken = room.take(events=10, size=100)
        with pytest.raises(BusyError, match="3 events are waiting, the limit is 4"):
            await room.submit([b"d", b"e"], now_s=0.0)
        with pytest.raises(BusyError, match="3 bytes are waiting, the limit is 100"):
            await room.submit([b"x" * 98], now_s=0.0)
        taken[0].settle(Answer())
        room.release(taken)
        await task
        (later,) = await waiting(room, [b"d", b"e"])
        later.cancel()

    run(work())


def test_bodies_being_read_take_room_and_give_it_back() -> None:
    room = small_room()
    with room.reading() as one, room.reading() as other:
        one.resize(60)
        with pytest.raises(BusyError, match="120 bytes are waiting or being read"):
            other.resize(60)
    with room.reading() as again:
        again.resize(100)


def test_a_closed_room_refuses_but_keeps_whom_it_has() -> None:
    async def work() -> None:
        room = small_room()
        (task,) = await waiting(room, [b"a"])
        room.close("stopping")
        with pytest.raises(ClosedError, match="stopping"):
            await room.submit([b"b"], now_s=0.0)
        await room.wait(timeout_s=60)
        taken = room.take(events=10, size=100)
        taken[0].fail(ClosedError("not kept"))
        with pytest.raises(ClosedError, match="not kept"):
            await task

    run(work())


def test_a_room_may_be_closed_from_the_start_and_opened() -> None:
    async def work() -> None:
        room = WaitingRoom(events=4, size=100, closed="still loading")
        with pytest.raises(ClosedError, match="still loading"):
            await room.submit([b"a"], now_s=0.0)
        room.open()
        (task,) = await waiting(room, [b"a"])
        assert room.oldest_s() == 0.0
        task.cancel()

    run(work())


def test_a_client_that_gave_up_does_not_disturb_the_turn() -> None:
    async def work() -> None:
        room = small_room()
        (task,) = await waiting(room, [b"a"])
        taken = room.take(events=10, size=100)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        taken[0].settle(Answer(accepted=1))
        taken[0].fail(ClosedError("too late"))
        assert taken[0].answer.cancelled()

    run(work())


def test_waiting_ends_when_the_time_is_over() -> None:
    async def work() -> None:
        room = small_room()
        await room.wait(timeout_s=0.0)
        assert not room.closed
        assert room.oldest_s() is None

    run(work())

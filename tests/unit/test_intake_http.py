"""The intake over HTTP, its waiting room driven by hand: full, closed, answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from analyzers.policy import Limits
from collector.posted import intake
from collector.posted.bodies import split
from collector.posted.intake import Intake
from collector.posted.waiting import Answer, BusyError, Rejected, WaitingRoom

LIMITS = Limits(line_bytes=50, body_bytes=400, queued_events=5, batch_events=5)


class Door:
    """An intake, the room behind it, and a client in front."""

    def __init__(self, client: httpx.AsyncClient, room: WaitingRoom, intake: Intake) -> None:
        self.client, self.room, self.intake = client, room, intake

    async def post(self, body: bytes | AsyncIterator[bytes], **headers: str) -> httpx.Response:
        return await self.client.post("/v1/events", content=body, headers=headers)

    async def waiting(self, body: bytes) -> asyncio.Task[httpx.Response]:
        """A request that has reached the room."""
        before = len(self.room)
        task = asyncio.create_task(self.post(body))
        for _ in range(100):
            await asyncio.sleep(0)
            if len(self.room) > before:
                return task
        raise AssertionError(f"the request did not reach the room: {await task}")


def run(work: Callable[[Door], Awaitable[None]], *, closed: str = "") -> None:
    async def around() -> None:
        room = WaitingRoom(events=5, size=450, closed=closed)
        intake = Intake(room, limits=LIMITS, now_s=lambda: 0.0)
        transport = httpx.ASGITransport(Starlette(routes=intake.routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await work(Door(client, room, intake))

    asyncio.run(around())


def test_a_request_is_answered_when_its_turn_is_over_and_not_before() -> None:
    async def work(door: Door) -> None:
        task = await door.waiting(b"1\n2\n3")
        assert not task.done()
        (request,) = door.room.take(events=5, size=500)
        request.settle(Answer(accepted=2, rejected=(Rejected(1, "not_json", "why"),)))
        response = await task
        assert response.status_code == 202
        assert response.json() == {
            "accepted": 2,
            "duplicates": 0,
            "rejected": [{"index": 1, "reason": "not_json", "detail": "why"}],
        }

    run(work)


def test_a_full_room_answers_429_and_when_to_come_back() -> None:
    async def work(door: Door) -> None:
        first = await door.waiting(b"1\n2\n3")
        response = await door.post(b"4\n5\n6")
        assert response.status_code == 429
        assert response.headers["retry-after"] == "1"
        assert response.json()["error"] == "busy"
        assert door.intake.refused == {"busy": 1}
        first.cancel()

    run(work)


def test_many_large_bodies_at_once_are_turned_away_before_they_fill_the_memory() -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 300
        await asyncio.Event().wait()

    async def work(door: Door) -> None:
        slow = asyncio.create_task(door.post(endless()))
        for _ in range(100):
            await asyncio.sleep(0)
        response = await door.post(b"y" * 300)
        assert (response.status_code, response.json()["error"]) == (429, "busy")
        slow.cancel()

    run(work)


def test_a_body_takes_up_room_while_it_is_cut_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(door: Door) -> None:
        def watched(*given: Any, **named: Any) -> list[bytes]:
            with (
                door.room.reading() as other,
                pytest.raises(BusyError, match="the limit is 450"),
            ):
                other.resize(200)
            return split(*given, **named)

        monkeypatch.setattr(intake, "split", watched)
        task = await door.waiting(b"y" * 300)
        task.cancel()

    run(work)


def test_more_events_than_can_ever_wait_are_refused_for_good() -> None:
    async def work(door: Door) -> None:
        response = await door.post(b"1\n2\n3\n4\n5\n6")
        assert (response.status_code, response.json()["error"]) == (413, "too_many_events")

    run(work)


def test_a_closed_room_answers_503_with_the_reason() -> None:
    async def work(door: Door) -> None:
        response = await door.post(b"1")
        assert response.status_code == 503
        assert response.json() == {"error": "unavailable", "detail": "still loading"}
        assert response.headers["retry-after"] == "1"

    run(work, closed="still loading")


def test_a_page_of_this_very_daemon_may_write() -> None:
    async def work(door: Door) -> None:
        response = await door.post(b"", origin="http://localhost", host="localhost")
        assert response.status_code == 202
        refused = await door.post(b"", origin="http://localhost:1", host="localhost")
        assert refused.status_code == 403

    run(work)

"""The two OTLP doors running for real on free ports, with an engine that only judges and counts.

It stands for the daemon's: what waits is taken, decoded, kept in a list and answered.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette

from analyzers.facts import Batch
from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.otlp import grpc as grpc_door
from collector.otlp.door import Door
from collector.otlp.http import routes
from collector.otlp.rules import OtlpRules
from collector.posted.waiting import Answer, Rejected, Request, WaitingRoom

WAIT_S = 60.0


def judged(request: Request, limits: Limits) -> tuple[Batch, Answer]:
    """What ``decode`` says of a request, and the answer that follows."""
    batch = decode(request.payloads, attributes=frozenset(), limits=limits)
    rejected = tuple(Rejected(one.index, one.reason, one.detail) for one in batch.rejects)
    return batch, Answer(accepted=len(request.payloads) - len(rejected), rejected=rejected)


@dataclass
class Doors:
    """Where they are, and what has come through them."""

    http: str = ""
    grpc: str = ""
    lines: list[bytes] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    room: WaitingRoom | None = None
    door: Door | None = None
    loop: asyncio.AbstractEventLoop | None = None
    end: Callable[[], object] = lambda: None

    def after_refusals(self, n: int, then: Callable[[], None]) -> None:
        """Does something in the doors' own thread as soon as so many requests were refused."""

        async def watch() -> None:
            assert self.door is not None
            while sum(self.door.refused.values()) < n:  # noqa: ASYNC110 - a counter has no event
                await asyncio.sleep(0.001)
            then()

        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(watch(), self.loop)

    def wait_for(self, lines: int) -> list[bytes]:
        """The lines, once there are so many."""
        wait_until(lambda: len(self.lines) >= lines)
        return self.lines


def wait_until(done: Callable[[], bool]) -> None:
    """Returns as soon as it is so."""
    end = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


@contextmanager
def serving(rules: OtlpRules, *, limits: Limits | None = None) -> Iterator[Doors]:
    """The doors in a thread of their own."""
    doors = Doors()
    ready = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(_serve(doors, rules, limits or Limits(), ready))
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(WAIT_S)
    try:
        assert not failed, failed
        yield doors
    finally:
        doors.end()
        thread.join(WAIT_S)
    assert not thread.is_alive()


async def _serve(
    doors: Doors,
    rules: OtlpRules,
    limits: Limits,
    ready: threading.Event,
) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    room = WaitingRoom(events=limits.queued_events, size=1 << 28)
    door = Door(room, rules=rules, limits=limits, now_s=lambda: 0.0)
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=routes(door)),
            port=0,
            log_config=None,
            access_log=False,
            lifespan="off",
        )
    )
    answering = asyncio.create_task(_answer(doors, room, limits))
    listener = socket.create_server(("127.0.0.1", 0))  # it queues who comes before the server
    http = asyncio.create_task(server.serve(sockets=[listener]))
    grpc, port = await grpc_door.start(door, "127.0.0.1", 0)
    doors.http = f"http://127.0.0.1:{listener.getsockname()[1]}"
    doors.grpc = f"127.0.0.1:{port}"
    doors.room, doors.door, doors.loop = room, door, loop
    doors.end = lambda: loop.call_soon_threadsafe(ended.set)
    ready.set()
    await ended.wait()
    await grpc_door.stop(grpc, grace_s=1)
    server.should_exit = True
    await http
    answering.cancel()
    with suppress(asyncio.CancelledError):
        await answering


async def _answer(doors: Doors, room: WaitingRoom, limits: Limits) -> None:
    while True:
        await room.wait(timeout_s=1)
        taken = room.take(events=100_000, size=1 << 28)
        for request in taken:
            _, answer = judged(request, limits)
            doors.lines += request.payloads
            doors.answers.append(answer)
            request.settle(answer)
        room.release(taken)
        await asyncio.sleep(0.001)

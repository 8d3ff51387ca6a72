"""The requests that wait for their turn: a queue with limits on events and on bytes.

A request waits from its arrival to the commit of the turn that takes it. What is waiting is lost
with the process, which is why nobody has been told that it was accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from collector.source import Part

# A turn takes far less than a second; a client that comes back sooner finds the same full queue.
RETRY_AFTER_S: Final = 1


class Rejected(msgspec.Struct, frozen=True):
    """One payload that was not used: its place in the request (blank lines not counted) and why."""

    index: int
    reason: str
    detail: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the payloads of one request. Of equal ids the first one stands, whatever
    the ``duplicates`` say. ``ignored`` were meant for somebody else: no events, and no faults;
    it is left out where there are none."""

    accepted: int = 0
    duplicates: int = 0
    rejected: tuple[Rejected, ...] = ()
    ignored: int | msgspec.UnsetType = msgspec.UNSET


class WaitingError(Exception):
    """A request that cannot have its turn: later (BusyError), or not here at all (ClosedError)."""


class BusyError(WaitingError):
    """The queue is full; the same request will do in a second."""


class ClosedError(WaitingError):
    """The process takes no more requests, or could not keep what it took."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Payloads of one request and the place to put its answer.

    ``source`` says whose they are. Those that were read from a partition or a file come with the
    ``part`` that they are, and ``ignored`` counts what gave no payload there. Rejects that are
    tried once more come with the rows in which they are kept, one for each payload.
    """

    payloads: Sequence[bytes]
    size: int
    arrived_s: float
    answer: asyncio.Future[Answer] = field(repr=False)
    source: str = "http"
    part: Part | None = None
    ignored: Mapping[str, int] = field(default_factory=dict)
    replays: Sequence[int] = ()

    def settle(self, answer: Answer) -> None:
        """Answers the request, unless its client has given up."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: WaitingError) -> None:
        """Tells the request that it was not kept, unless its client has given up."""
        if not self.answer.done():
            self.answer.set_exception(error)


class WaitingRoom:
    """Requests in order of arrival, at most ``events`` payloads and ``size`` bytes of them.

    Belongs to one event loop. Bytes of bodies still being read count as well, so that many slow
    clients cannot fill the memory. It starts closed, for the reason given, until ``open``.
    """

    def __init__(self, *, events: int, size: int, closed: str = "") -> None:
        self.events_limit = events
        self.size_limit = size
        self.events = 0
        self.size = 0
        self._reading = 0
        self._requests: list[Request] = []
        self._arrived = asyncio.Event()
        self._freed = asyncio.Event()
        self._closed = closed

    def __len__(self) -> int:
        return len(self._requests)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Room for a body that is being read; given back at the end."""
        place = Reading(self)
        try:
            yield place
        finally:
            place.resize(0)

    async def submit(
        self,
        payloads: Sequence[bytes],
        *,
        now_s: float,
        source: str = "http",
        replays: Sequence[int] = (),
        ignored: Mapping[str, int] | None = None,
    ) -> Answer:
        """The answer to a request, once its turn is committed.

        BusyError if there is no room; ClosedError if no more requests are taken, or if the process
        failed to keep this one.
        """
        if not payloads and not ignored:
            return Answer()
        size = sum(map(len, payloads))
        self._check_open()
        if self.events and self.events + len(payloads) > self.events_limit:
            raise BusyError(f"{self.events} events are waiting, the limit is {self.events_limit}")
        if self.events and self.size + size > self.size_limit:
            raise BusyError(f"{self.size} bytes are waiting, the limit is {self.size_limit}")
        answer = asyncio.get_running_loop().create_future()
        return await self._enter(
            Request(
                payloads, size, now_s, answer,
                source=source, ignored=ignored or {}, replays=replays,
            )
        )  # fmt: skip

    async def submit_part(
        self, part: Part, *, now_s: Callable[[], float], ignored: Mapping[str, int]
    ) -> Answer:
        """The answer to what was read of a source, which waits until there is room for it.

        Sources leave half of the room to those that cannot wait. ClosedError as for ``submit``.
        """
        size = sum(map(len, part.payloads))
        self._check_open()
        while self.events and (
            2 * (self.events + len(part.payloads)) > self.events_limit
            or 2 * (self.size + size) > self.size_limit
        ):
            self._freed.clear()
            await self._freed.wait()
            self._check_open()
        answer = asyncio.get_running_loop().create_future()
        return await self._enter(
            Request(part.payloads, size, now_s(), answer, part.source, part, ignored)
        )

    async def _enter(self, request: Request) -> Answer:
        self._requests.append(request)
        self.events += len(request.payloads)
        self.size += request.size
        self._arrived.set()
        return await request.answer

    def take(self, *, events: int, size: int) -> list[Request]:
        """Leading requests with together at most ``events`` payloads and ``size`` bytes, at least
        one if any waits.

        They leave the queue but go on counting against its limits until ``release``.
        """
        count = seen_events = seen_size = 0
        for request in self._requests:
            seen_events += len(request.payloads)
            seen_size += request.size
            if count and (seen_events > events or seen_size > size):
                break
            count += 1
        taken = self._requests[:count]
        del self._requests[:count]
        if not self._requests and not self._closed:
            self._arrived.clear()
        return taken

    def release(self, requests: Sequence[Request]) -> None:
        """Gives back the room of requests that have been answered."""
        self.events -= sum(len(request.payloads) for request in requests)
        self.size -= sum(request.size for request in requests)
        self._freed.set()

    async def wait(self, *, timeout_s: float) -> None:
        """Returns when a request waits, when the room closes, or after ``timeout_s``."""
        with suppress(TimeoutError):  # the time being over is one of the answers
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()

    def open(self) -> None:
        """Lets requests in from now on."""
        self._closed = ""

    def close(self, why: str) -> None:
        """Refuses every further request with ``why``; those that wait keep their turn."""
        self._closed = why
        self._arrived.set()
        self._freed.set()

    @property
    def closed(self) -> bool:
        """Whether further requests are refused."""
        return bool(self._closed)

    def oldest_s(self) -> float | None:
        """When the longest waiting request arrived; None if none waits."""
        return self._requests[0].arrived_s if self._requests else None

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(self._closed)

    def _resize_reading(self, before: int, after: int) -> None:
        self._reading += after - before
        if after > before and self._reading + self.size > self.size_limit:
            raise BusyError(
                f"{self._reading + self.size} bytes are waiting or being read, "
                f"the limit is {self.size_limit}"
            )


class Reading:
    """How many bytes of the waiting room one body being read takes up."""

    __slots__ = ("_room", "_size")

    def __init__(self, room: WaitingRoom) -> None:
        self._room = room
        self._size = 0

    def resize(self, size: int) -> None:
        """Takes up ``size`` bytes in all; BusyError if there is no room for more."""
        before, self._size = self._size, size
        self._room._resize_reading(before, size)  # noqa: SLF001 - two halves of one account

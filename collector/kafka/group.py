"""How far a group has come, told to the brokers now and then for those who watch lag there.

A courtesy and nothing more: where reading goes on is in our checkpoint. Failing is only counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

from kafka import TopicPartition

from collector.kafka.client import Connection
from collector.source import SourceBusyError, SourceError

# At half as often, lag seen from outside jumps; at twice, brokers store what nobody reads.
_TELL_S: Final = 5.0
_LAST_S: Final = 2.0


class GroupOffsets:
    """Offsets that wait to be told, and those under way; used by one thread at a time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tell_at = 0.0
        self._untold: dict[TopicPartition, int] = {}
        self._sent: dict[TopicPartition, int] = {}
        self._telling: Future[int] | None = None
        self.failures = 0
        """How often the brokers did not take them."""

    def note(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Takes the next offsets of partitions, to be told later."""
        self._untold |= offsets

    def tell(self, connection: Connection, worker: ThreadPoolExecutor) -> None:
        """Has the worker send them when it is time; nobody waits for it."""
        if self._clock() >= self._tell_at:
            self._tell_at = self._clock() + _TELL_S
            self._send(connection, worker, 0)

    def end(self, connection: Connection, worker: ThreadPoolExecutor) -> None:
        """Tells them a last time, and waits for that a little."""
        self._send(connection, worker, _LAST_S)  # hears of what is under way
        self._send(connection, worker, _LAST_S)  # and of what has come since
        self.forget()

    def forget(self) -> None:
        """Has nothing to tell any more."""
        self._untold, self._sent, self._telling = {}, {}, None

    def _send(self, connection: Connection, worker: ThreadPoolExecutor, wait_s: float) -> None:
        """One request at a time; what was not taken goes with the next."""
        if self._telling is not None:
            wait([self._telling], wait_s)
            if not self._telling.done():
                return
            if not _taken(self._telling):
                self.failures += 1
                self._untold = self._sent | self._untold
        self._telling = None
        if self._untold:
            self._sent, self._untold = self._untold, {}
            self._telling = worker.submit(connection.tell, self._sent)


def _taken(telling: Future[int]) -> bool:
    try:
        return telling.result() == 0
    except (SourceError, SourceBusyError):
        return False

"""The contract of a source that is read, not waited for: a Kafka topic, a folder of files.

Three steps: ``open`` says where to begin, ``poll`` gives what comes next with the positions that
go with it, and the engine commits both in one transaction. A source keeps no truth of its own: what
was polled and not committed is polled again after a crash, and what a broker believes to have been
read is a courtesy to those who look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np

from analyzers.facts import Ints


class SourceError(Exception):
    """A source that cannot go on until somebody does what the message says."""


class SourceBusyError(Exception):
    """A source that does not answer now; trying again may help."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it lies in its source. ``place`` names it for ever (``orders/3@1201``), so
    an event without an id of its own gets one from it; ``payload`` is None for a tombstone."""

    payload: bytes | None
    place: str
    headers: Mapping[str, bytes] = field(default_factory=dict)
    time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Formed:
    """What one message becomes: lines of our own format, which ``decode`` judges; a line from
    ``refused.line`` where it cannot be used. ``ignored`` is why it gives none although nothing is
    wrong (``tombstone``, ``not_wanted``)."""

    lines: Sequence[bytes] = ()
    ignored: str = ""


Form: TypeAlias = Callable[[Message], Formed]


@dataclass(frozen=True, slots=True)
class Part:
    """What was read of one partition or file.

    ``source`` names it in the checkpoint and in rejects (``kafka:orders/3``, ``file:/in/a``);
    ``offsets`` (n,) says where each of n payloads stood; ``before`` and ``after`` are the positions
    around it (``before`` None at its very first reading). ``behind``: more was waiting there than
    was read, so what the stream knows of it may be old. Without payloads it only says the latter.
    """

    source: str
    payloads: Sequence[bytes] = ()
    offsets: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    before: str | None = None
    after: str | None = None  # None: it was not moved
    behind: bool = False


@dataclass(frozen=True, slots=True)
class RawBatch:
    """What one ``poll`` gave. ``ignored`` counts messages that gave no payload, by why; ``notes``
    are lines for whoever looks on (messages lost to retention, a topic made anew)."""

    parts: tuple[Part, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(len(part.payloads) for part in self.parts)


class Source(Protocol):
    """What the engine asks of a source; used by one thread, not always the same one."""

    @property
    def label(self) -> str:
        """What it is called in messages and metrics: ``kafka orders``."""

    def open(self, positions: Mapping[str, str]) -> None:
        """Begins where ``positions`` (of every source in the checkpoint, by name) say.

        SourceBusyError if it does not answer, SourceError if it never will."""

    def poll(self, *, events: int, wait_s: float) -> RawBatch:
        """What comes next, about ``events`` payloads at most, after ``wait_s`` at most if nothing
        waits. SourceBusyError and SourceError as in ``open``."""

    def committed(self, parts: Sequence[Part]) -> None:
        """Hears that these parts are on disk: the place for courtesies; never raises."""

    def close(self) -> None:
        """Lets go of everything; never raises."""

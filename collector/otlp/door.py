"""What both doors do with a request: read it, let its lines wait for their turn, count.

HTTP and gRPC differ in how they say so. An answer exists only once the turn is committed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from analyzers.policy import Limits
from collector.otlp.events import OtlpFormed
from collector.otlp.logs import lines_of_logs
from collector.otlp.metrics import lines_of_metrics
from collector.otlp.rules import Encoding, OtlpRules, Signal
from collector.otlp.spans import lines_of_traces
from collector.posted.waiting import Answer, Reading, WaitingRoom

LINES_OF: Final = MappingProxyType(
    {
        Signal.LOGS: lines_of_logs,
        Signal.METRICS: lines_of_metrics,
        Signal.TRACES: lines_of_traces,
    }
)
# What a hostile request becomes in memory is up to 60 times its bytes (an empty record is two
# bytes). At half, the Collector's own largest default (20 MiB before batching) is further away; at
# double, one such request takes two gigabytes.
BODY_BYTES_MAX: Final = 16 << 20
# Reading this much takes a few milliseconds; more of it goes to a thread, one at a time, so that
# neither the loop is held up nor memory taken by several of them at once.
_INLINE_BYTES: Final = 128 << 10
_REASONS_TOLD: Final = 3


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of one signal's records since the start. ``rejected`` are in the rejects too;
    ``ignored`` is by why; ``attributes_left_out`` did not fit into their events."""

    requests: int = 0
    records: int = 0
    events: int = 0
    rejected: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict)
    attributes_left_out: int = 0


@dataclass(slots=True)
class Tally:
    """The counts of one signal as they grow."""

    requests: int = 0
    records: int = 0
    events: int = 0
    rejected: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    attributes_left_out: int = 0

    def add(self, formed: OtlpFormed, *, rejected: int) -> None:
        """Counts one request, ``rejected`` of whose records were refused."""
        self.requests += 1
        self.records += formed.total
        self.events += len(formed.lines)
        self.rejected += rejected
        self.ignored.update(formed.ignored)
        self.attributes_left_out += formed.left_out

    def counts(self) -> Counts:
        """What has been counted so far."""
        return Counts(
            requests=self.requests,
            records=self.records,
            events=self.events,
            rejected=self.rejected,
            ignored=dict(self.ignored),
            attributes_left_out=self.attributes_left_out,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sender is told: how many records were refused, and in words; both empty if none."""

    rejected: int = 0
    message: str = ""


class Door:
    """What HTTP and gRPC share. ``refused``: requests turned away, by error word."""

    def __init__(
        self, room: WaitingRoom, *, rules: OtlpRules, limits: Limits, now_s: Callable[[], float]
    ) -> None:
        self.room = room
        self.limits = limits
        self.body_bytes = min(limits.body_bytes, BODY_BYTES_MAX)
        self.refused: Counter[str] = Counter()
        self._rules = rules
        self._now_s = now_s
        self._tallies = {signal: Tally() for signal in Signal}
        self._large = asyncio.Semaphore(1)

    def counts(self) -> dict[Signal, Counts]:
        """What became of the records of each signal so far."""
        return {signal: tally.counts() for signal, tally in self._tallies.items()}

    async def take(
        self, body: bytes, signal: Signal, encoding: Encoding, reading: Reading
    ) -> Outcome:
        """What became of a request, once its turn is committed. ``reading`` is its place in the
        room, which is given back as soon as its lines wait there themselves.

        MalformedError and TooManyError if it is of no use, BusyError and ClosedError as
        ``WaitingRoom.submit`` has them.
        """

        def read() -> OtlpFormed:
            return LINES_OF[signal](body, encoding, rules=self._rules, limits=self.limits)

        if len(body) <= _INLINE_BYTES:
            formed = read()
        else:
            async with self._large:
                formed = await asyncio.to_thread(read)
        reading.resize(0)
        answer = await self.room.submit(
            formed.lines, now_s=self._now_s(), source="otlp", ignored=formed.ignored
        )
        refused = rejected_records(formed, answer)
        self._tallies[signal].add(formed, rejected=len(refused))
        return Outcome(len(refused), _message(formed, answer, refused))


def rejected_records(formed: OtlpFormed, answer: Answer) -> Sequence[int]:
    """The numbers of the records of which at least one line was refused, in order."""
    return sorted({formed.records[one.index] for one in answer.rejected})


def _message(formed: OtlpFormed, answer: Answer, refused: Sequence[int]) -> str:
    if not refused:
        return ""
    told: dict[str, int] = {}
    for one in answer.rejected:
        told.setdefault(f"{one.reason}: {one.detail}", formed.records[one.index])
    reasons = [f"record {number}: {why}" for why, number in list(told.items())[:_REASONS_TOLD]]
    more = len(told) - len(reasons)
    reasons += [f"and {more} more reasons"] if more else []
    return f"{len(refused)} of {formed.total} records were refused ({'; '.join(reasons)})"

"""What a turn is given, what it gives back, and the small rest of the state: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from analyzers.ahead import Pace
from analyzers.facts import Facts, Ints, Marker, Reject, no_facts
from analyzers.folding.answers import Waiting
from analyzers.folding.cells import Cells
from analyzers.judging.verdict import Alert, Verdict


@dataclass(frozen=True, slots=True)
class Inbox:
    """What one turn brings, duplicates already dropped.

    ``repeated`` are the reasons of rejects that were there before: counted, but no evidence.
    ``clock_ns`` is the stream's time as moved on by the clock (see ``pipeline.clock``): None when
    no time has passed beyond what the facts themselves say. ``hold_ns`` is how far the slowest
    source has come that is still catching up: no slice closes beyond it; None if all are up to
    date. ``ignored`` counts inputs that were meant for somebody else, by kind. ``complete`` closes
    every slice up to
    ``clock_ns`` or the last fact: nothing more will come (replay of bare events).
    """

    facts: Facts = field(default_factory=no_facts)
    markers: tuple[Marker, ...] = ()
    rejects: tuple[Reject, ...] = ()
    duplicates: int = 0
    conflicts: int = 0
    repeated: tuple[str, ...] = ()
    clock_ns: int | None = None
    hold_ns: int | None = None
    ignored: Mapping[str, int] = field(default_factory=dict)
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """What a turn changed, and so what the checkpoint must keep in one transaction.

    ``cells`` and ``waiting`` are to be appended; ``markers``, ``rejects``, ``verdicts`` (those
    whose verdict or action changed, and the last of each release) and ``alerts`` too; ``memory``
    replaces the earlier one: the small rest of the state as bytes. ``news`` are lines for whoever
    looks on, and not kept. ``ahead`` (k,) are the rows of the inbox's facts that were refused as
    impossibly far ahead of the stream; their rejects, in that order, are the last k of ``rejects``.
    """

    cells: Cells
    waiting: Waiting
    markers: tuple[Marker, ...]
    rejects: tuple[Reject, ...]
    verdicts: tuple[Verdict, ...]
    alerts: tuple[Alert, ...]
    memory: bytes
    news: tuple[str, ...] = ()
    ahead: Ints = field(default_factory=lambda: np.empty(0, np.int64))


class Counts(msgspec.Struct):
    """How many of each there were so far. ``events`` are distinct valid ones; ``folded`` are
    observations counted under ``other`` because there were too many names."""

    events: int = 0
    duplicates: int = 0
    conflicts: int = 0
    late: int = 0
    folded: int = 0
    markers: int = 0
    rejected_by_reason: dict[str, int] = msgspec.field(default_factory=dict)
    ignored: dict[str, int] = msgspec.field(default_factory=dict)  # by kind

    @property
    def rejected(self) -> int:
        """All rejects, whatever their reason."""
        return sum(self.rejected_by_reason.values())


class Memory(msgspec.Struct):
    """The small rest of the state, beside cells, markers and verdicts."""

    stream_ns: int | None = None  # how far the stream has come
    # Times of the first events; None once enough of them agreed on when the stream is.
    early: list[int] | None = msgspec.field(default_factory=list)
    pace: Pace = msgspec.field(default_factory=Pace)
    open_from: int | None = None  # the first slice that no tick has passed
    settled_ns: int = 0  # answers due by then are in the cells
    counts: Counts = msgspec.field(default_factory=Counts)
    firing: set[str] = msgspec.field(default_factory=set)
    resolved: set[str] = msgspec.field(default_factory=set)
    done: set[str] = msgspec.field(default_factory=set)  # ended, judged and announced
    orphans: set[str] = msgspec.field(default_factory=set)


@dataclass(slots=True)
class EventTotal:
    """Distinct events of one kind, and the start of the last slice that held one."""

    events: int = 0
    last_ns: int = 0

"""The one function that moves state: ``take_turn``.

Time comes in as facts (the clock is read elsewhere); what must be kept goes out as a delta.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzers.cells import Cells
from analyzers.facts import Facts, Marker, Reject, no_facts
from analyzers.policy import Policy
from analyzers.verdict import Alert, Verdict


@dataclass(frozen=True, slots=True)
class Inbox:
    """What one turn brings, duplicates already dropped.

    ``clock_ns`` is the stream's time as moved on by the clock (see ``pipeline.clock``): None when
    no time has passed beyond what the facts themselves say. ``complete`` closes every slice up to
    ``clock_ns`` or the last fact: nothing more will come (replay of bare events).
    """

    facts: Facts = field(default_factory=no_facts)
    markers: tuple[Marker, ...] = ()
    rejects: tuple[Reject, ...] = ()
    duplicates: int = 0
    conflicts: int = 0
    clock_ns: int | None = None
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """What a turn changed, and so what the checkpoint must keep in one transaction.

    ``cells`` are the cells to append; ``markers``, ``rejects``, ``verdicts`` (changed ones only)
    and ``alerts`` are appended too; ``memory`` replaces the earlier one: the small rest of the
    state as bytes.
    """

    cells: Cells
    markers: tuple[Marker, ...]
    rejects: tuple[Reject, ...]
    verdicts: tuple[Verdict, ...]
    alerts: tuple[Alert, ...]
    memory: bytes


class State:
    """Everything known so far. Moved by ``take_turn`` only.

    Attributes for readers: ``cells`` (Cells), ``verdicts`` (dict deployment -> latest Verdict),
    ``counts`` (Counts), ``watermark_ns`` and ``stream_ns`` (int | None).
    """

    @classmethod
    def restore(cls, memory: bytes | None, cells: Cells, policy: Policy) -> State:
        """The state that a checkpoint kept."""
        raise NotImplementedError


def take_turn(state: State, inbox: Inbox, policy: Policy) -> Delta:
    """Moves ``state`` by one turn and gives back what changed."""
    raise NotImplementedError

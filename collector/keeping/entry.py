"""What goes into a checkpoint and what comes back, as values. Nothing here touches a disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analyzers.facts import Reject
from collector.keeping.outbox_rows import NewNotice


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept of what would grow: bytes on disk of the intake log and of past verdicts,
    rows of rejects, and rows of notices (waiting, repeating and finished ones each).
    ``reject_payload_bytes`` is where the payload of a reject has been cut."""

    intake_bytes: int = 1 << 30
    verdict_bytes: int = 1 << 30
    rejects: int = 10_000
    outbox: int = 10_000
    reject_payload_bytes: int = 4_096


@dataclass(frozen=True, slots=True)
class Move:
    """A source was read from position ``before`` (None: for the first time) up to ``after``."""

    source: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class KeptVerdict:
    """One verdict: its deployment, the event time it is for, its JSON."""

    deployment: str
    as_of_ns: int
    body: bytes


@dataclass(frozen=True, slots=True)
class RefusedAgain:
    """A kept reject that was tried once more and refused: its row, and why now."""

    row: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything that one turn changed. Empty bytes and tuples write nothing.

    ``stream_ns`` is the stream's time at the turn, by which ``Checkpoint.forget`` trims;
    ``seen_newest_ns`` the newest event time among the ids in ``seen``; ``memory`` None keeps the
    earlier one. ``replayed`` are the rows of kept rejects whose payloads this turn takes, so that
    they are rejects no more; ``refused_again`` those that it refuses once more.
    """

    intake: bytes = b""
    stream_ns: int = 0
    cells: bytes = b""
    seen: bytes = b""
    seen_newest_ns: int = 0
    markers: tuple[bytes, ...] = ()
    rejects: tuple[Reject, ...] = ()
    verdicts: tuple[KeptVerdict, ...] = ()
    notices: tuple[NewNotice, ...] = ()
    memory: bytes | None = None
    positions: tuple[Move, ...] = ()
    replayed: tuple[int, ...] = ()
    refused_again: tuple[RefusedAgain, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is kept, in rows, blobs and bytes on disk; what was dropped over a bound."""

    intake_turns: int
    intake_bytes: int
    cells_blobs: int
    cells_bytes: int
    seen_blobs: int
    seen_bytes: int
    markers: int
    rejects: int
    rejects_dropped: int
    verdicts: int
    verdict_bytes: int
    outbox_waiting: int
    outbox_given_up: int
    outbox_overflowed: int
    file_bytes: int
    wal_bytes: int


@dataclass(frozen=True, slots=True)
class Saved:
    """What a restart begins with: the state after turn ``seq`` (0: none yet).

    ``cells`` and ``seen`` are the kept blobs, oldest first; ``verdicts`` the latest of each
    deployment, by name; ``memory`` is None before the first one.
    """

    seq: int
    memory: bytes | None
    cells: tuple[bytes, ...]
    seen: tuple[bytes, ...]
    markers: tuple[bytes, ...]
    verdicts: tuple[KeptVerdict, ...]
    positions: Mapping[str, str]
    counts: Counts


@dataclass(frozen=True, slots=True)
class IntakeSpan:
    """The kept part of the intake log: its first and last turn (None: empty), and the newest turn
    that was trimmed away (0: none, so the log is whole)."""

    first_seq: int | None
    last_seq: int | None
    forgotten_seq: int


@dataclass(frozen=True, slots=True)
class Compacted:
    """How many blobs of cells and of seen ids a compaction replaced by fewer (0: none)."""

    cells: int
    seen: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many rows went."""

    intake: int
    seen: int
    markers: int
    verdicts: int

"""What has been observed: facts (events), markers and rejects, as columns.

A fact is one business event. Facts travel a batch at a time, one array per field; strings are
dictionary coded. Nothing here reads a clock or knows a policy beyond attribute names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Words: TypeAlias = npt.NDArray[np.uint64]
Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

NEVER: Final = (1 << 63) - 1  # as a slice: what has not happened
NS_PER_S: Final = 1_000_000_000
SLICE_S: Final = 10
SLICE_NS: Final = SLICE_S * NS_PER_S
OK: Final = "ok"


@dataclass(frozen=True, slots=True)
class Column:
    """A dictionary-coded string column: ``words[codes[i]]`` is the value of row i.

    ``codes`` is int64 of shape (n,); the empty string stands for an absent value.
    """

    codes: Ints
    words: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Ints | Bools) -> Column:
        """The same column, only the given rows (indices or a mask)."""
        return Column(self.codes[rows], self.words)

    def pruned(self) -> Column:
        """The same column, without words that no row has.

        >>> Column(np.array([2, 2]), ("a", "b", "c")).pruned().words
        ('c',)
        """
        used = np.zeros(len(self.words), np.bool_)
        used[self.codes] = True
        if used.all():
            return self
        places = np.cumsum(used) - 1
        return Column(places[self.codes], tuple(compress(self.words, used.tolist())))

    def strings(self) -> list[str]:
        """The values as plain strings, one a row."""
        return [self.words[code] for code in self.codes.tolist()]

    def equals(self, word: str) -> Bools:
        """Mask of the rows whose value is ``word``."""
        return self.among((word,))

    def among(self, words: Sequence[str]) -> Bools:
        """Mask of the rows whose value is one of ``words``."""
        known = np.array([word in words for word in self.words], dtype=np.bool_)
        if not len(known):
            return np.zeros(len(self.codes), dtype=np.bool_)
        return np.asarray(known[self.codes])


def code(values: Sequence[str]) -> Column:
    """The values as a dictionary-coded column, words in order of first appearance.

    >>> code(["a", "b", "a"]).codes.tolist()
    [0, 1, 0]
    """
    index: dict[str, int] = {}
    codes = np.fromiter(
        (index.setdefault(value, len(index)) for value in values), np.int64, len(values)
    )
    return Column(codes, tuple(index))


def join(columns: Sequence[Column]) -> Column:
    """One column holding the rows of all ``columns``, in order."""
    index: dict[str, int] = {}
    parts: list[Ints] = []
    for column in columns:
        lookup = np.array(
            [index.setdefault(word, len(index)) for word in column.words], dtype=np.int64
        )
        parts.append(lookup[column.codes] if len(column.codes) else column.codes)
    codes = np.concatenate(parts) if parts else np.empty(0, np.int64)
    return Column(codes, tuple(index))


@dataclass(frozen=True, slots=True)
class Facts:
    """A batch of n valid events as columns.

    ``time_ns``: event time, int64 nanoseconds since 1970 UTC. ``value``: float64, NaN where the
    event has none. ``key``: uint64 (n, 2), a 128-bit digest of (environment, service, id), the
    identity of the event. ``content``: uint64 (n,), a digest of everything that the event says, to
    tell a duplicate from a conflict. ``ref``: uint64 (n, 2), the key of the event that this one
    answers (same environment and service), zeros where it answers none. ``subject``: uint64 (n,),
    a digest of the unit of independence, 0 where absent. ``attributes`` holds one column for every
    attribute name that was asked for and occurs; absent values are the empty string.
    """

    time_ns: Ints
    environment: Column
    service: Column
    version: Column
    track: Column
    type: Column
    outcome: Column
    value: Floats
    key: Words
    content: Words
    ref: Words
    subject: Words
    synthetic: Bools
    attributes: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.time_ns)

    def take(self, rows: Ints | Bools) -> Facts:
        """The same facts, only the given rows (indices or a mask)."""
        return Facts(
            time_ns=self.time_ns[rows],
            environment=self.environment.take(rows),
            service=self.service.take(rows),
            version=self.version.take(rows),
            track=self.track.take(rows),
            type=self.type.take(rows),
            outcome=self.outcome.take(rows),
            value=self.value[rows],
            key=self.key[rows],
            content=self.content[rows],
            ref=self.ref[rows],
            subject=self.subject[rows],
            synthetic=self.synthetic[rows],
            attributes={name: column.take(rows) for name, column in self.attributes.items()},
        )


def pruned(facts: Facts) -> Facts:
    """The same facts, without words that no row has: for facts that are kept for long."""
    return replace(
        facts,
        environment=facts.environment.pruned(),
        service=facts.service.pruned(),
        version=facts.version.pruned(),
        track=facts.track.pruned(),
        type=facts.type.pruned(),
        outcome=facts.outcome.pruned(),
        attributes={name: column.pruned() for name, column in facts.attributes.items()},
    )


def no_facts() -> Facts:
    """A batch without any row."""
    empty = code([])
    return Facts(
        time_ns=np.empty(0, np.int64),
        environment=empty,
        service=empty,
        version=empty,
        track=empty,
        type=empty,
        outcome=empty,
        value=np.empty(0, np.float64),
        key=np.empty((0, 2), np.uint64),
        content=np.empty(0, np.uint64),
        ref=np.empty((0, 2), np.uint64),
        subject=np.empty(0, np.uint64),
        synthetic=np.empty(0, np.bool_),
        attributes={},
    )


def concat(batches: Sequence[Facts]) -> Facts:
    """One batch holding the rows of all ``batches``, in order."""
    batches = [batch for batch in batches if len(batch)]
    if not batches:
        return no_facts()
    if len(batches) == 1:
        return batches[0]
    names = dict.fromkeys(name for batch in batches for name in batch.attributes)

    def attribute(batch: Facts, name: str) -> Column:
        blank = Column(np.zeros(len(batch), np.int64), ("",))
        return batch.attributes.get(name, blank)

    return Facts(
        time_ns=np.concatenate([batch.time_ns for batch in batches]),
        environment=join([batch.environment for batch in batches]),
        service=join([batch.service for batch in batches]),
        version=join([batch.version for batch in batches]),
        track=join([batch.track for batch in batches]),
        type=join([batch.type for batch in batches]),
        outcome=join([batch.outcome for batch in batches]),
        value=np.concatenate([batch.value for batch in batches]),
        key=np.concatenate([batch.key for batch in batches]),
        content=np.concatenate([batch.content for batch in batches]),
        ref=np.concatenate([batch.ref for batch in batches]),
        subject=np.concatenate([batch.subject for batch in batches]),
        synthetic=np.concatenate([batch.synthetic for batch in batches]),
        attributes={name: join([attribute(batch, name) for batch in batches]) for name in names},
    )


class Marker(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One deployment marker: what a release did, and when (event time, ns since 1970 UTC)."""

    id: str
    time_ns: int
    type: str  # deployment.started | .shifted | .finished | .rolled_back
    deployment: str
    service: str
    environment: str = "production"
    version: str = ""
    replaces: str = ""
    strategy: str = "canary"
    share: float | None = None
    cohort: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    outcome: str = ""
    owner: str = ""
    runbook: str = ""
    opens: bool = False  # its tool may tell no start: without one, the release is known by this


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    """One input that is no valid event or marker: kept whole up to a limit, with its reason.

    ``index`` is its place in the batch; ``detail`` says in words what is wrong and what would be
    right; ``payload`` is cut to a limit. Where they could be read, ``time_ns``, ``environment``,
    ``service``, ``version`` and ``track`` say whose it is, so that a release that breaks the
    message format is seen (metric ``event_validity``). ``source`` and ``position`` say where it
    came from: ``kafka:orders/3`` and an offset, ``http`` and its place in the request. With
    ``original`` the payload is the message as its source has it, before any mapping; ``sent_ms``
    and ``headers`` are what it had beside its payload.
    """

    index: int
    reason: str
    detail: str
    payload: bytes = b""
    time_ns: int | None = None
    environment: str = ""
    service: str = ""
    version: str = ""
    track: str = ""
    key: tuple[int, int] = (0, 0)
    source: str = ""
    position: int = -1
    original: bool = False
    sent_ms: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """One input that is meant for somebody else: ``kind`` is a short word for what it is, such as
    ``github_push``. Counted, never an error."""

    index: int
    kind: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What one intake batch held: each payload is exactly one fact, marker, reject or ignored.
    ``rows[i]`` is the place in the batch of fact i (int64)."""

    facts: Facts
    markers: tuple[Marker, ...] = ()
    rejects: tuple[Reject, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    rows: Ints = field(default_factory=lambda: np.empty(0, np.int64))

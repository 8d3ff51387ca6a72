"""What became of each request's payloads, once the turn that took several of them is decided.

A turn counts for all its requests together; here every payload is given back to its sender.
Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from analyzers.facts import Batch, Reject
from analyzers.inbox import Delta
from collector.keeping.entry import RefusedAgain
from collector.posted.waiting import Answer, Rejected
from pipeline.pieces import Incoming

_ACCEPTED: Final = 0
_DUPLICATE: Final = 1
_REJECTED: Final = 2
_IGNORED: Final = 3


def answers(
    batch: Batch, new: Batch, rejects: Sequence[Reject], sizes: Sequence[int]
) -> tuple[Answer, ...]:
    """An answer for each request, in order; the r-th one brought ``sizes[r]`` payloads.

    ``batch`` is all that they said, ``new`` what of it was new, ``rejects`` what was refused, with
    places in the batch. A reject that has been counted before is told again all the same.
    """
    fate = np.full(sum(sizes), _DUPLICATE)
    fate[new.rows] = _ACCEPTED
    fate[_new_markers(batch, new, len(fate))] = _ACCEPTED
    told = {reject.index: reject for reject in (*batch.rejects, *rejects) if reject.index >= 0}
    fate[list(told)] = _REJECTED
    fate[[ignored.index for ignored in batch.ignored]] = _IGNORED
    found = []
    begin = 0
    for size in sizes:
        mine = fate[begin : begin + size]
        found.append(
            Answer(
                accepted=int(np.count_nonzero(mine == _ACCEPTED)),
                duplicates=int(np.count_nonzero(mine == _DUPLICATE)),
                rejected=tuple(
                    Rejected(place, told[begin + place].reason, told[begin + place].detail)
                    for place in np.flatnonzero(mine == _REJECTED).tolist()
                ),
                ignored=int(np.count_nonzero(mine == _IGNORED)) or msgspec.UNSET,
            )
        )
        begin += size
    return tuple(found)


def marker_rows(batch: Batch, n: int) -> list[int]:
    """The places of the markers: of n payloads, what is nothing else, in order."""
    other = np.ones(n, np.bool_)
    other[batch.rows] = False
    other[[reject.index for reject in batch.rejects]] = False
    other[[ignored.index for ignored in batch.ignored]] = False
    return np.flatnonzero(other).tolist()


def _new_markers(batch: Batch, new: Batch, n: int) -> list[int]:
    taken, rows = 0, []
    for row, marker in zip(marker_rows(batch, n), batch.markers, strict=True):
        if taken < len(new.markers) and new.markers[taken] is marker:
            rows.append(row)
            taken += 1
    return rows


def placed(delta: Delta, new: Batch) -> tuple[Reject, ...]:
    """The rejects of a turn, those of events too far ahead with their places in the batch too:
    the turn knows which of the new facts they were."""
    others = len(delta.rejects) - len(delta.ahead)
    ahead = zip(delta.rejects[others:], new.rows[delta.ahead].tolist(), strict=True)
    return (
        *delta.rejects[:others],
        *(msgspec.structs.replace(reject, index=row) for reject, row in ahead),
    )


def sourced(
    rejects: Sequence[Reject], incoming: Sequence[Incoming], *, most: int
) -> tuple[Reject, ...]:
    """The rejects of a turn with where they came from: which source, and where it stood there.
    What was refused only in the light of the stream gets its payload too, ``most`` bytes of it."""
    begins = np.cumsum([0, *(len(one.payloads) for one in incoming)])

    def found(reject: Reject) -> Reject:
        if reject.index < 0:  # nobody brought it
            return reject
        place = int(np.searchsorted(begins, reject.index, side="right")) - 1
        brought = incoming[place]
        within = reject.index - int(begins[place])
        return msgspec.structs.replace(
            reject,
            source=brought.source,
            position=brought.offset(within),
            payload=reject.payload or brought.payloads[within][:most],
        )

    return tuple(map(found, rejects))


@dataclass(frozen=True, slots=True)
class TriedAgain:
    """Kept rejects that a turn tried once more: the rows that it took, those that it refused again,
    and the rejects of the turn that are new."""

    taken: tuple[int, ...]
    refused: tuple[RefusedAgain, ...]
    rejects: tuple[Reject, ...]


def tried_again(
    batch: Batch, rejects: Sequence[Reject], incoming: Sequence[Incoming]
) -> TriedAgain:
    """What became of the rejects that were brought once more. One is taken when all of its
    payloads are; ``rejects`` are those of the turn, ``batch`` all that was said."""
    rows: dict[int, int] = {}  # by place in the batch
    begin = 0
    for one in incoming:
        rows.update(zip(range(begin, begin + len(one.replays)), one.replays, strict=True))
        begin += len(one.payloads)
    if not rows:
        return TriedAgain((), (), tuple(rejects))
    refused = {
        rows[reject.index]: RefusedAgain(rows[reject.index], reject.reason, reject.detail)
        for reject in (*batch.rejects, *rejects)
        if reject.index in rows
    }
    return TriedAgain(
        taken=tuple(sorted(set(rows.values()) - refused.keys())),
        refused=tuple(refused.values()),
        rejects=tuple(reject for reject in rejects if reject.index not in rows),
    )


def stale(batch: Batch, floor_ns: int, n: int) -> list[Reject]:
    """Rejects for events and markers among n payloads that happened before ``floor_ns``: nobody
    can say whether they are new."""
    facts = batch.facts
    old = np.flatnonzero(facts.time_ns < floor_ns)
    rows = zip(batch.rows[old].tolist(), facts.service.take(old).strings(), strict=True)
    markers = zip(marker_rows(batch, n), batch.markers, strict=True)
    found = [_stale(row, service) for row, service in rows]
    found += [_stale(row, m.service) for row, m in markers if m.time_ns < floor_ns]
    return sorted(found, key=lambda reject: reject.index)


def _stale(row: int, service: str) -> Reject:
    return Reject(
        index=row,
        reason="time_before_horizon",
        detail="it happened so long before the stream's newest event that nobody can say whether "
        "it has been counted; replay it with `plimsoll replay`",
        service=service,
    )

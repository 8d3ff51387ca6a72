"""What is new: each event, marker and reject counts once, however often it is sent.

Exact, by digests, within a horizon; what is remembered, and in how little memory, is the matter of
``seen``. Here is what to do about it, and how identities are kept in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final

import msgspec
import numpy as np

from analyzers.facts import Batch, Bools, Ints, Marker, Reject, Words
from collector.decoding import digests
from collector.novelty.blobs import SeenDamagedError, merged, newest, packed
from collector.novelty.seen import Seen

__all__ = ["Novel", "Seen", "SeenDamagedError", "keep_new", "merged", "newest"]

# An event, a marker and a reject may have the same id without being the same thing: a corrected
# event is sent under the id of the one that was refused. So each sort has its own key space.
_MARKERS: Final = np.array([0xD6E8FEB86659FD93, 0x6A09E667F3BCC908], np.uint64)
_REJECTS: Final = np.array([0xC2B2AE3D27D4EB4F, 0xBB67AE8584CAA73B], np.uint64)


@dataclass(frozen=True, slots=True)
class Novel:
    """What was new in a batch, and what of the rest was why left out.

    ``duplicates`` are events and markers that were there before, ``conflicts`` those among them
    that said something else then (the first stands). ``repeated`` are the rejects that were there
    before: left out of the batch, and still bad input to be counted. ``stale`` is the number of
    events, markers and rejects from before the horizon, of which nobody can say whether they are
    new. ``fresh`` are the identities to be kept, for ``Seen.load``, and ``newest_ns`` is the time
    before which all of them happened (see ``newest``).
    """

    batch: Batch
    duplicates: int
    conflicts: int
    repeated: tuple[Reject, ...]
    stale: int
    fresh: bytes
    newest_ns: int


def keep_new(batch: Batch, seen: Seen) -> Novel:
    """The batch without what ``seen`` holds already; what is new is entered there.

    Within a batch, too, the first of equal identities stands. Until the turn is committed it can
    be taken back: ``seen.rewind()``.
    """
    seen.begin()
    facts, markers, rejects = batch.facts, batch.markers, batch.rejects
    newest_ns = int(facts.time_ns.max()) if len(facts) else seen.newest_ns
    marker_ns = np.array([marker.time_ns for marker in markers], np.int64)
    # A reject without a readable time is taken to be as new as the events around it.
    reject_ns = np.array(
        [newest_ns if reject.time_ns is None else reject.time_ns for reject in rejects], np.int64
    )
    fact = _sift(seen, facts.key, facts.content, facts.time_ns)
    marker = _sift(seen, *_identities(markers), marker_ns)
    reject_keys = np.array([reject.key for reject in rejects], np.uint64).reshape(-1, 2)
    reject = _sift(seen, reject_keys ^ _REJECTS, np.zeros(len(rejects), np.uint64), reject_ns)
    new_rows = np.flatnonzero(fact.new)
    kept = batch
    if not (fact.new.all() and marker.new.all() and reject.new.all()):
        kept = Batch(
            facts=facts.take(new_rows),
            markers=tuple(compress(markers, marker.new.tolist())),
            rejects=tuple(compress(rejects, reject.new.tolist())),
            rows=batch.rows[new_rows],
        )
    fresh = packed(*seen.fresh())
    return Novel(
        batch=kept,
        duplicates=int(np.count_nonzero(fact.old) + np.count_nonzero(marker.old)),
        conflicts=fact.conflicts + marker.conflicts,
        repeated=tuple(compress(rejects, reject.old.tolist())),
        stale=fact.stale + marker.stale + reject.stale,
        fresh=fresh,
        newest_ns=newest(fresh),
    )


@dataclass(frozen=True, slots=True)
class _Sifted:
    """Which of n things are new, and which were there before; the rest is stale."""

    new: Bools
    old: Bools
    conflicts: int
    stale: int


def _sift(seen: Seen, keys: Words, content: Words, time_ns: Ints) -> _Sifted:
    new, old = np.zeros(len(keys), np.bool_), np.zeros(len(keys), np.bool_)
    if not len(keys):
        return _Sifted(new, old, 0, 0)
    rows = np.flatnonzero(time_ns >= seen.floor_ns)
    if len(rows) == len(keys):
        new, conflicting = seen.add(keys, content, time_ns)
        return _Sifted(new, ~new, int(np.count_nonzero(conflicting)), 0)
    new[rows], conflicting = seen.add(keys[rows], content[rows], time_ns[rows])
    old[rows] = ~new[rows]
    return _Sifted(new, old, int(np.count_nonzero(conflicting)), len(keys) - len(rows))


def _identities(markers: Sequence[Marker]) -> tuple[Words, Words]:
    """Keys, uint64 (n, 2), and contents, uint64 (n,), of markers."""
    keys = [digests.key(marker.environment, marker.service, marker.id) for marker in markers]
    bodies = [msgspec.json.encode(marker, order="deterministic") for marker in markers]
    contents = [digests.key_of_bytes(body)[0] for body in bodies]
    return np.array(keys, np.uint64).reshape(-1, 2) ^ _MARKERS, np.array(contents, np.uint64)

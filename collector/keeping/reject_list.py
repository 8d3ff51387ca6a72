"""Kept rejects as people and programs are shown them. Reads the state, changes nothing."""

from __future__ import annotations

from typing import Final

import msgspec

from collector.keeping.checkpoint import Checkpoint, KeptReject, Sought
from collector.keeping.reject_rows import INT64_MAX

# Enough of a payload to recognise it; the whole of it is in the state.
SHOWN_CHARACTERS: Final = 200
LISTED_MAX: Final = 10_000


class ListedReject(msgspec.Struct, frozen=True, kw_only=True):
    """One reject. ``stream_ns`` is when the stream stood there, ``time_ns`` the time that the
    payload itself says, both event time; ``hindrance`` is why it cannot be tried once more."""

    id: int
    reason: str
    detail: str
    source: str
    position: int | None
    service: str
    environment: str
    version: str
    time_ns: int | None
    stream_ns: int
    payload: str
    hindrance: str = ""


class RejectList(msgspec.Struct, frozen=True, kw_only=True):
    """The newest rejects that are sought, newest first; how many are kept altogether, and how many
    were dropped because more came than are kept."""

    kept: int
    dropped: int
    rejects: tuple[ListedReject, ...]


class Tried(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rejects to try once more; empty means any. ``after`` and ``until`` are row numbers:
    a caller that goes on at ``next`` sees each of them once."""

    reason: str = ""
    source: str = ""
    service: str = ""
    ids: tuple[int, ...] = ()
    after: int = 0
    until: int = INT64_MAX


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """One reject and what is to be said of it."""

    id: int
    reason: str
    detail: str


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of rejects that were tried once more. ``rejected`` are still refused, and stay
    with the reason of now; ``hindered`` could not be tried. ``next`` is where to go on, 0 at the
    end."""

    accepted: int = 0
    duplicates: int = 0
    ignored: int = 0
    rejected: tuple[Named, ...] = ()
    hindered: tuple[Named, ...] = ()
    next: int = 0


def listed(checkpoint: Checkpoint, sought: Sought, *, limit: int) -> RejectList:
    """The newest of the rejects that are sought."""
    found = checkpoint.kept_rejects(sought, limit=min(limit, LISTED_MAX), newest_first=True)
    counts = checkpoint.counts()
    return RejectList(
        kept=counts.rejects, dropped=counts.rejects_dropped, rejects=tuple(map(_shown, found))
    )


def _shown(kept: KeptReject) -> ListedReject:
    reject = kept.reject
    text = reject.payload[: 4 * SHOWN_CHARACTERS].decode("utf-8", "replace")
    return ListedReject(
        id=kept.row,
        reason=reject.reason,
        detail=reject.detail,
        source=reject.source,
        position=None if reject.position < 0 else reject.position,
        service=reject.service,
        environment=reject.environment,
        version=reject.version,
        time_ns=reject.time_ns,
        stream_ns=kept.stream_ns,
        payload=text[:SHOWN_CHARACTERS],
        hindrance=kept.hindrance,
    )

"""Recorded streams judged as if they came now: ``plimsoll replay``.

Bare events (NDJSON, gzip, Parquet) are folded whole before the first tick, so their order does
not matter. A daemon's own state file holds its intake log: its turns are taken again as they
were, which gives the live verdicts again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from analyzers.facts import Batch, Marker, Reject, concat, no_facts
from analyzers.judging.verdict import Alert, Verdict
from analyzers.policy import Policy
from analyzers.turn import Inbox, State, take_turn
from collector.decoding.faults import Reason
from collector.files import recorded as files
from collector.keeping.checkpoint import Checkpoint
from collector.novelty.novel import Seen, keep_new
from pipeline.config.inputs import Deduplication
from pipeline.intake_log import decode_turn
from pipeline.reading import Knows, Reader

_SQLITE: Final = b"SQLite format 3\0"
BARE_IDS: Final = 100_000_000  # distinct events of bare streams: more do not fit into memory

Progress = Callable[[int, int], None]  # bytes read, bytes in all (0: unknown)


class ReplayCounts(msgspec.Struct, frozen=True):
    """How many lines were what. ``events`` are distinct ones; ``rejected`` counts every line that
    is of no use; ``ignored`` are payloads of other tools that are no markers."""

    events: int
    duplicates: int
    late: int
    rejected: int
    markers: int
    conflicts: int
    rejected_by_reason: dict[str, int]
    ignored: int = 0
    ignored_by_kind: dict[str, int] = msgspec.field(default_factory=dict)


class Replayed(msgspec.Struct, frozen=True):
    """What ``replay --format json`` prints.

    ``complete``: every event was there before the first tick, so nothing was late.
    ``unattributed`` has a fixed place in the interface; without a deployment near, nothing is
    watched yet, so it holds nothing.
    """

    verdicts: list[Verdict]
    alerts: list[Alert]
    unattributed: list[str]
    counts: ReplayCounts
    complete: bool


@dataclass(slots=True)
class _Gathered:
    """Everything that bare streams held."""

    seen: Seen
    batches: list[Batch] = field(default_factory=list)
    duplicates: int = 0
    conflicts: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        """Takes in one decoded batch, without what was there before.

        A refused line that stands there twice is counted twice, and is evidence once.
        """
        news = keep_new(batch, self.seen)
        self.batches.append(news.batch)
        self.duplicates += news.duplicates
        self.conflicts += news.conflicts
        self.ignored.update(one.kind for one in batch.ignored)
        self.repeated.update(reject.reason for reject in batch.rejects)
        self.repeated.subtract(reject.reason for reject in news.batch.rejects)


def replay(
    paths: Sequence[Path],
    policy: Policy,
    *,
    until_ns: int | None = None,
    progress: Progress | None = None,
    knows: Knows | None = None,
    deduplication: Deduplication | None = None,
    warn: Callable[[str], None] | None = None,
) -> Replayed:
    """The verdicts on everything that the given streams hold, as of their end or ``until_ns``.

    ``knows`` says which services may send events; None lets all of them. ``warn`` hears of files
    that could not be read; each is one reject.
    Raises ``files.FilesError`` for a stream that cannot be read at all.
    """
    logs = [path for path in paths if _is_state(path)]
    state = State()
    known = deduplication or Deduplication()
    # Bare streams are held in memory anyway; a daemon's log forgets what the daemon forgot.
    seen = Seen(limit=known.ids if logs else BARE_IDS, horizon_s=known.horizon_s)
    reader = Reader(policy, seen, knows=knows, horizon_s=known.horizon_s)
    if logs:
        if len(paths) > 1:
            raise files.FilesError(
                f"{logs[0]} is a daemon's state with its intake log: replay it alone"
            )
        alerts = _retake(logs[0], state, reader, policy, until_ns)
    else:
        gathered = _gather(paths, reader, policy, progress)
        if warn is not None:
            for fault in gathered.unreadable:
                warn(fault)
        inbox = _until(gathered, until_ns)
        alerts = list(take_turn(state, inbox, policy).alerts)
    counts = state.counts
    order = {d.name: place for place, d in enumerate(state.timeline.deployments)}
    return Replayed(
        verdicts=sorted(state.verdicts.values(), key=lambda v: order.get(v.deployment, -1)),
        alerts=alerts,
        unattributed=[],
        counts=ReplayCounts(
            events=counts.events,
            duplicates=counts.duplicates,
            late=counts.late,
            rejected=counts.rejected,
            markers=counts.markers,
            conflicts=counts.conflicts,
            rejected_by_reason=dict(sorted(counts.rejected_by_reason.items())),
            ignored=sum(counts.ignored.values()),
            ignored_by_kind=dict(sorted(counts.ignored.items())),
        ),
        complete=not logs,
    )


def _is_state(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _gather(
    paths: Sequence[Path], reader: Reader, policy: Policy, progress: Progress | None
) -> _Gathered:
    gathered = _Gathered(reader.seen)
    for source in files.found(paths):
        try:
            for chunk in files.read([source], limits=policy.limits, progress=progress):
                batch = reader.batch(chunk.payloads)
                gathered.add(replace(batch, rejects=(*batch.rejects, *chunk.rejects)))
        except (files.FormatError, files.TooLargeError) as error:
            # One damaged file is one reject; the others are judged all the same.
            key = int.from_bytes(hashlib.blake2b(str(source).encode(), digest_size=8).digest())
            gathered.add(
                Batch(
                    facts=no_facts(),
                    rejects=(
                        Reject(
                            index=0,
                            reason=Reason.UNREADABLE,
                            detail=str(error),
                            payload=str(source).encode(),
                            key=(key, 0),
                        ),
                    ),
                )
            )
            gathered.unreadable.append(str(error))
    return gathered


def _until(gathered: _Gathered, until_ns: int | None) -> Inbox:
    """One complete inbox of all that was gathered; what came after ``until_ns`` is left out."""
    facts = concat([batch.facts for batch in gathered.batches])
    markers: list[Marker] = [m for batch in gathered.batches for m in batch.markers]
    rejects: list[Reject] = [r for batch in gathered.batches for r in batch.rejects]
    if until_ns is not None:
        facts = facts.take(facts.time_ns <= until_ns)
        markers = [marker for marker in markers if marker.time_ns <= until_ns]
    return Inbox(
        facts=facts,
        markers=tuple(markers),
        rejects=tuple(rejects),
        duplicates=gathered.duplicates,
        conflicts=gathered.conflicts,
        repeated=tuple(gathered.repeated.elements()),
        ignored=gathered.ignored,
        clock_ns=until_ns,
        complete=True,
    )


def _retake(
    path: Path, state: State, reader: Reader, policy: Policy, until_ns: int | None
) -> list[Alert]:
    """Takes the recorded turns again, up to the first whose stream time is beyond ``until_ns``."""
    alerts: list[Alert] = []
    hold_ns: int | None = None
    with Checkpoint.read(path) as checkpoint:
        if checkpoint.intake_span().forgotten_seq:
            raise files.FilesError(
                f"{path} has forgotten the beginning of its intake log (it is kept for 30 days and "
                "1 GiB): what is left does not give the live verdicts again"
            )
        for _, body in checkpoint.intake_log():
            turn = decode_turn(body)
            if until_ns is not None and turn.clock_ns is not None and turn.clock_ns > until_ns:
                break
            read = reader.read(turn.payloads, state.stream_ns, hold_ns)
            hold_ns = turn.hold_ns
            inbox = read.inbox(clock_ns=turn.clock_ns, hold_ns=turn.hold_ns, retried=turn.retried)
            delta = take_turn(state, inbox, policy)
            reader.remembered(read, delta.ahead)
            alerts += delta.alerts
    return alerts

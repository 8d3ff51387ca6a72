"""What an audit is given: recorded streams, or the newest part of a daemon's intake log.

Reading a state is safe beside the daemon that writes it: nothing is locked and nothing written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from analyzers.facts import NS_PER_S, Batch, Facts, Marker, Reject, concat
from analyzers.policy import Policy
from analyzers.times import rfc3339
from collector.files import recorded as files
from collector.keeping.checkpoint import Checkpoint
from collector.novelty.novel import Seen, keep_new
from pipeline.audit import Gathered
from pipeline.config.inputs import Deduplication
from pipeline.intake_log import RecordedTurn, decode_turn
from pipeline.reading import Knows, Reader

DAYS: Final = 30
EVENTS: Final = 1_000_000
REJECTS_MAX: Final = 20_000
_TOGETHER: Final = 16_384  # payloads decoded at once: a turn alone may hold a single one
_DAY_NS: Final = 24 * 3600 * NS_PER_S

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Bound:
    """How much of a stream is taken, counted back from its newest event."""

    days: int = DAYS
    events: int = EVENTS


class _Newest:
    """The newest facts that were read, as many as a bound allows and some more; the oldest go."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._facts: deque[Facts] = deque()
        self._markers: list[Marker] = []
        self._rejects: deque[Reject] = deque(maxlen=REJECTS_MAX)
        self._held = self._dropped = 0

    def add(self, batch: Batch) -> None:
        self._markers += batch.markers
        self._rejects += [one for one in batch.rejects if one.time_ns is not None and one.service]
        self._facts.append(batch.facts)
        self._held += len(batch.facts)
        while self._held - len(self._facts[0]) >= self._bound.events:
            lost = len(self._facts.popleft())
            self._held -= lost
            self._dropped += lost

    def gathered(self, bounded: str = "") -> Gathered:
        """What is left, cut to the bound by event time."""
        facts = concat(list(self._facts))
        times = facts.time_ns
        newest = int(times.max()) if len(facts) else 0
        kept = times > newest - self._bound.days * _DAY_NS
        facts, old = facts.take(kept), int((~kept).sum())
        if self._dropped or old:
            bounded = (
                f"{self._dropped + old} older events were left out: the newest "
                f"{self._bound.events} of the newest {self._bound.days} days are taken"
            )
        since = int(facts.time_ns.min()) if len(facts) else 0
        rejects = tuple(one for one in self._rejects if (one.time_ns or 0) >= since)
        return Gathered(facts, tuple(self._markers), rejects, bounded)


def from_files(
    paths: Sequence[Path],
    policy: Policy,
    bound: Bound,
    *,
    knows: Knows | None = None,
    deduplication: Deduplication | None = None,
    progress: Progress | None = None,
) -> Gathered:
    """What recorded streams hold (NDJSON, gzip, Parquet); ``files.FilesError`` if one cannot be
    read."""
    known = deduplication or Deduplication()
    reader = Reader(policy, Seen(limit=known.ids, horizon_s=known.horizon_s), knows=knows)
    newest = _Newest(bound)
    for chunk in files.read(paths, limits=policy.limits, progress=progress):
        newest.add(keep_new(reader.batch(chunk.payloads), reader.seen).batch)
    return newest.gathered()


def from_state(
    directory: Path,
    policy: Policy,
    bound: Bound,
    *,
    knows: Knows | None = None,
    deduplication: Deduplication | None = None,
    progress: Progress | None = None,
) -> Gathered:
    """What the newest part of the intake log of a state directory holds; the markers are all that
    the state knows, so that no old canary is taken for a baseline.

    ``CheckpointError`` and ``IntakeLogError`` for a state that cannot be read.
    """
    known = deduplication or Deduplication()
    reader = Reader(policy, Seen(limit=known.ids, horizon_s=known.horizon_s), knows=knows)
    newest = _Newest(bound)
    with Checkpoint.open(directory, exclusive=False) as checkpoint:
        markers = [msgspec.json.decode(one, type=Marker) for one in checkpoint.load().markers]
        span = checkpoint.intake_span()
        last = span.last_seq or 0
        after = _before(checkpoint, span.forgotten_seq, last, bound)
        waiting: list[bytes] = []
        for seq, body in checkpoint.intake_log(after):
            waiting += decode_turn(body).payloads
            if len(waiting) >= _TOGETHER:
                newest.add(keep_new(reader.batch(waiting), reader.seen).batch)
                waiting = []
            if progress is not None:
                progress(seq - after, max(last - after, 1))
        newest.add(keep_new(reader.batch(waiting), reader.seen).batch)
        bounded = "" if after <= 0 else _told(checkpoint, after)
    found = newest.gathered(bounded)
    return replace(found, markers=(*markers, *found.markers))


def _before(checkpoint: Checkpoint, first: int, last: int, bound: Bound) -> int:
    """The last turn that is too old to be taken, found by halving: stream time only goes on."""
    end = _turn(checkpoint, last)
    if end is None or end.clock_ns is None:
        return first
    since_ns = end.clock_ns - bound.days * _DAY_NS
    low, high = first, last
    while low < high:
        middle = (low + high) // 2
        turn = _turn(checkpoint, middle + 1)
        if turn is None or turn.clock_ns is None or turn.clock_ns < since_ns:
            low = middle + 1
        else:
            high = middle
    # The clock of a turn is that before it: the one before may hold what is new enough.
    return max(first, low - 1)


def _turn(checkpoint: Checkpoint, seq: int) -> RecordedTurn | None:
    """One recorded turn, None if there is none."""
    if seq <= 0:
        return None
    for _, body in checkpoint.intake_log(seq - 1):
        return decode_turn(body)
    return None


def _told(checkpoint: Checkpoint, after: int) -> str:
    turn = _turn(checkpoint, after + 1)
    if turn is None or turn.clock_ns is None:
        return f"the first {after} turns were left out"
    return f"what came before {rfc3339(turn.clock_ns)} was left out"

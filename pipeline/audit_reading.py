"""What an audit is given: recorded streams, or the newest part of a daemon's intake log.

Reading a state is safe beside the daemon that writes it: nothing is locked and nothing written.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from analyzers.auditing.audit import Counts
from analyzers.facts import NS_PER_S, Batch, Facts, Marker, Reject, concat
from analyzers.policy import Policy
from analyzers.times import rfc3339
from collector.decoding.faults import Reason
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
    """How much of a stream is taken, counted back from its newest event; ``days`` None: all."""

    days: int | None = DAYS
    events: int = EVENTS

    def __str__(self) -> str:
        """What is taken, in words."""
        of = "" if self.days is None else f" of the newest {self.days} days"
        return f"the newest {self.events} events{of} are taken"


class _Newest:
    """The newest facts that were read, as many as a bound allows and some more; the oldest go. What
    was of no use is counted."""

    def __init__(self, bound: Bound, seen: Seen) -> None:
        self._bound = bound
        self._seen = seen
        self._facts: deque[Facts] = deque()
        self._markers: list[Marker] = []
        self._rejects: deque[Reject] = deque(maxlen=REJECTS_MAX)
        self._held = self._dropped = 0
        self._events = self._duplicates = self._conflicts = 0
        self._rejected: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()

    def add(self, batch: Batch) -> None:
        """Takes in one decoded batch, without what was there before."""
        # A refused line that stands there twice is counted twice, and is evidence once.
        self._rejected.update(str(one.reason) for one in batch.rejects)
        self._ignored.update(one.kind for one in batch.ignored)
        news = keep_new(batch, self._seen)
        self._duplicates += news.duplicates
        self._conflicts += news.conflicts
        batch = news.batch
        self._markers += batch.markers
        self._rejects += [one for one in batch.rejects if one.time_ns is not None and one.service]
        self._facts.append(batch.facts)
        self._events += len(batch.facts)
        self._held += len(batch.facts)
        while self._held - len(self._facts[0]) >= self._bound.events:
            lost = len(self._facts.popleft())
            self._held -= lost
            self._dropped += lost

    def damaged(self) -> None:
        """Counts a whole file that cannot be read, as one reject."""
        self._rejected[Reason.UNREADABLE.value] += 1

    def gathered(self, bounded: str = "") -> Gathered:
        """What is left, cut to the bound by event time."""
        facts = concat(list(self._facts))
        times, days = facts.time_ns, self._bound.days
        newest = int(times.max()) if len(facts) else 0
        old = 0
        if days is not None:
            kept = times > newest - days * _DAY_NS
            facts, old = facts.take(kept), int((~kept).sum())
        if self._dropped or old:
            bounded = f"{self._dropped + old} older events were left out: {self._bound}"
        since = int(facts.time_ns.min()) if len(facts) else 0
        rejects = tuple(one for one in self._rejects if (one.time_ns or 0) >= since)
        return Gathered(facts, tuple(self._markers), rejects, bounded, self._counts())

    def _counts(self) -> Counts:
        return Counts(
            events=self._events,
            duplicates=self._duplicates,
            rejected=self._rejected.total(),
            markers=len(self._markers),
            conflicts=self._conflicts,
            rejected_by_reason=dict(sorted(self._rejected.items())),
            ignored=self._ignored.total(),
            ignored_by_kind=dict(sorted(self._ignored.items())),
        )


def from_files(
    paths: Sequence[Path],
    policy: Policy,
    bound: Bound,
    *,
    knows: Knows | None = None,
    deduplication: Deduplication | None = None,
    progress: Progress | None = None,
    warn: Callable[[str], None] | None = None,
) -> Gathered:
    """What recorded streams hold (NDJSON, gzip, Parquet). ``warn`` hears of files that hold nothing
    that can be read; each is one reject. ``files.FilesError`` if one cannot be read at all."""
    known = deduplication or Deduplication()
    reader = Reader(policy, Seen(limit=known.ids, horizon_s=known.horizon_s), knows=knows)
    newest = _Newest(bound, reader.seen)
    for source in files.found(paths):
        try:
            for chunk in files.read([source], limits=policy.limits, progress=progress):
                batch = reader.batch(chunk.payloads)
                newest.add(replace(batch, rejects=(*batch.rejects, *chunk.rejects)))
        except (files.FormatError, files.TooLargeError) as error:
            # One damaged file is one reject; the others are audited all the same.
            newest.damaged()
            if warn is not None:
                warn(str(error))
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
    newest = _Newest(bound, reader.seen)
    with Checkpoint.open(directory, exclusive=False) as checkpoint:
        markers = [msgspec.json.decode(one, type=Marker) for one in checkpoint.load().markers]
        span = checkpoint.intake_span()
        last = span.last_seq or 0
        after = _before(checkpoint, span.forgotten_seq, last, bound)
        waiting: list[bytes] = []
        for seq, body in checkpoint.intake_log(after):
            waiting += decode_turn(body).payloads
            if len(waiting) >= _TOGETHER:
                newest.add(reader.batch(waiting))
                waiting = []
            if progress is not None:
                progress(seq - after, max(last - after, 1))
        newest.add(reader.batch(waiting))
        bounded = "" if after <= 0 else _told(checkpoint, after)
    found = newest.gathered(bounded)
    return replace(found, markers=(*markers, *found.markers))


def _before(checkpoint: Checkpoint, first: int, last: int, bound: Bound) -> int:
    """The last turn that is too old to be taken, found by halving: stream time only goes on."""
    end = _turn(checkpoint, last)
    if end is None or end.clock_ns is None or bound.days is None:
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

"""One turn from raw payloads to a committed change: decode, keep what is new, judge, commit.

The state in memory and the checkpoint on disk move together here, and only here. Used by one
thread. The order of the steps in ``take`` is what makes a crash harmless; they are numbered.
"""

from __future__ import annotations

import ctypes
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from analyzers.ahead import AHEAD_NS
from analyzers.facts import NS_PER_S, SLICE_NS, Facts, Marker
from analyzers.judging.verdict import Alert, Verdict
from analyzers.times import epoch_ns
from analyzers.turn import Delta, State, take_turn
from collector.keeping.checkpoint import (
    Checkpoint,
    CheckpointError,
    Entry,
    KeptVerdict,
    NewNotice,
    Unavailable,
)
from collector.novelty.novel import Novel, Seen, SeenDamagedError, merged
from dashboards.api.page_data import Evidence
from dashboards.outbox import key_of, payload_of
from dashboards.snapshot import Gauge, Snapshot
from pipeline import clock, kept, view
from pipeline.config.settings import Settings
from pipeline.embedded import DiskRefusesError, EngineError, Growth, Taken, lost
from pipeline.evidence_page import evidence_of
from pipeline.intake_log import RecordedTurn, encode_turn
from pipeline.pieces import Incoming, retried
from pipeline.progress import Progress
from pipeline.reading import Reader
from pipeline.request_answers import TriedAgain, answers, placed, sourced, tried_again

# Pauses between the first tries of one commit, 2 s in all: what another process holds for a moment
# is free by then. After that the engine closes the door, and asks ``again`` until the disk is back.
RETRY_PAUSES_S: Final = (0.1, 0.4, 1.5)
# The raw intake is kept for this long in stream time, and below its bound in bytes.
INTAKE_NS: Final = 30 * 24 * 3600 * NS_PER_S
# Evidence kept as drawn: several people may look at the same few releases, each every few seconds.
DRAWN: Final = 32
DAY_NS: Final = 24 * 3600 * NS_PER_S
# Blobs to be read at a restart; beyond it they are merged.
BLOBS: Final = 32


@dataclass(frozen=True, slots=True)
class Pace:
    """What may differ in a test: pauses between tries of a commit, and how they pass."""

    pauses_s: Sequence[float] = RETRY_PAUSES_S
    sleep: Callable[[float], None] = clock.sleep


@dataclass(frozen=True, slots=True)
class _Decided:
    """A turn that has moved the state in memory and is still to be kept; ``told`` makes what is
    said of it, given how long the commit took."""

    entry: Entry
    told: Callable[[float], Taken]


class KeptTurns:
    """The state and its checkpoint, moved together turn by turn."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        given: Settings,
        state: State,
        seen: Seen,
        *,
        sequence: int = 0,
        positions: Mapping[str, str] | None = None,
        channels: tuple[str, ...] = (),
        unheard: Sequence[str] = (),
        pace: Pace | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._policy = given.policy
        knows = given.knows if given.unknown_services == "reject" else None
        self._state = state
        self._ids = given.deduplication.ids
        self._reader = Reader(
            given.policy, seen, knows=knows, horizon_s=given.deduplication.horizon_s
        )
        self._day: int | None = None  # of stream time, when everything was last gone through
        self._progress = Progress(unheard)
        self._sequence = sequence
        self.positions = positions or {}
        self._channels = channels
        self._pace = pace or Pace()
        self._drawn: dict[tuple[str, int | None, int], Evidence] = {}
        self._decided: _Decided | None = None
        self._outbox = 0  # notices that wait, when they were counted last

    @classmethod
    def load(
        cls,
        checkpoint: Checkpoint,
        given: Settings,
        *,
        channels: tuple[str, ...] = (),
        unheard: Sequence[str] = (),
        pace: Pace | None = None,
    ) -> KeptTurns:
        """The state as the last commit left it. ``unheard`` are the sources that are waited for
        until they say how far they have been read.

        EngineError if what is kept cannot be understood; CheckpointError if it cannot be read.
        """
        saved = checkpoint.load()
        remembered = given.deduplication
        seen = Seen(limit=remembered.ids, horizon_s=remembered.horizon_s, salt=secrets.randbits(64))
        try:
            seen.load(saved.seen)
            parts = [kept.decode(body) for body in saved.cells]
            state = State.restore(
                saved.memory or b"",
                cells=(cells for cells, _ in parts),
                waiting=(waiting for _, waiting in parts),
                markers=[msgspec.json.decode(body, type=Marker) for body in saved.markers],
                verdicts=[msgspec.json.decode(one.body, type=Verdict) for one in saved.verdicts],
                policy=given.policy,
            )
        except (
            kept.KeptError, SeenDamagedError, msgspec.DecodeError, UnicodeDecodeError
        ) as error:  # fmt: skip
            raise EngineError(
                f"the state in {checkpoint.path} cannot be understood ({error}): put a backup in "
                "its place, use the version that wrote it, or choose another --state directory"
            ) from error
        return cls(
            checkpoint,
            given,
            state,
            seen,
            sequence=saved.seq,
            positions=saved.positions,
            channels=channels,
            unheard=unheard,
            pace=pace,
        )

    @property
    def stream_ns(self) -> int | None:
        """How far the stream had come at the last commit."""
        return self._state.stream_ns

    def snapshot(self) -> Snapshot:
        """What the state says as of the last commit."""
        return view.snapshot_of(self._state, self._policy)

    def evidence(self, deployment: str) -> Evidence:
        """The evidence on a deployment over time, computed once for what has been judged."""
        state = self._state
        known = (deployment, state.watermark_ns, len(state.markers))
        found = self._drawn.get(known)
        if found is None:
            if len(self._drawn) >= DRAWN:
                self._drawn.clear()
            found = self._drawn[known] = evidence_of(state, deployment, self._policy)
        return found

    def take(self, incoming: Sequence[Incoming], clock_ns: int | None) -> Taken:
        """One turn, committed; DiskRefusesError if the disk does not take it now, EngineError if it
        cannot be kept.

        After an error the state in memory is ahead of the disk: it must not be used any more, but
        for ``again``, which commits this same turn and no other.
        """
        begun_s = clock.monotonic_s()
        payloads = [payload for one in incoming for payload in one.payloads]
        policy, state = self._policy, self._state
        # 1. what the payloads say, and which of it is new
        read = self._reader.read(payloads, state.stream_ns, self._progress.hold_ns)
        batch, news = read.batch, read.news
        self._progress.note(incoming, batch)
        inbox = read.inbox(
            clock_ns=clock_ns,
            hold_ns=self._progress.hold_ns,
            ignored=sum((Counter(one.ignored) for one in incoming), Counter()),
            retried=(tried := retried(incoming)),
        )
        # 2. the state moves, in memory
        before = dict(state.verdicts)
        delta = take_turn(state, inbox, policy)
        judged_s = clock.monotonic_s() - begun_s
        # 3. all of it goes to disk in one transaction; from there on it has happened
        rejects = sourced(
            placed(delta, news.batch), incoming, most=policy.limits.reject_payload_bytes
        )
        turn = RecordedTurn(self._sequence + 1, tuple(payloads), clock_ns, inbox.hold_ns, tried)
        again = tried_again(batch, rejects, incoming)
        remembered = self._reader.remembered(read, delta.ahead)
        entry = self._entry(turn, delta, remembered, again, incoming)

        # 4. what the world may know then
        def told(committed_s: float) -> Taken:
            return Taken(
                answers=answers(batch, news.batch, rejects, [len(o.payloads) for o in incoming]),
                newest_ns=_newest(news.batch.facts, state),
                snapshot=self.snapshot(),
                judged_s=judged_s,
                committed_s=committed_s,
                news=(*delta.news, *_changes(before, state.verdicts)),
            )

        self._decided = _Decided(entry, told)
        return self.again()

    def again(self) -> Taken:
        """The turn that ``take`` has decided and not kept, committed; errors as there."""
        decided = self._decided
        if decided is None:
            raise EngineError("no turn is waiting to be kept: take one first")
        begun_s = clock.monotonic_s()
        self._sequence = self._commit(decided.entry)
        self._decided = None
        return decided.told(clock.monotonic_s() - begun_s)

    def upkeep(self) -> Growth:
        """Merges what a restart would read piece by piece, and drops what is past its retention.

        A disk that refuses is told in ``trouble``; EngineError if another process has taken over.
        """
        state, policy, trouble = self._state, self._policy, ""
        try:
            self._tidy()
            self._outbox = self._checkpoint.counts().outbox_waiting
        except Unavailable as error:
            trouble = str(error)
        except CheckpointError as error:
            raise EngineError(f"the daemon stops: {error}") from error
        _give_back()
        return Growth(
            outbox=Gauge(self._outbox, policy.limits.outbox),
            open_deployments=view.open_deployments(state, policy),
            series=view.kept_series(state, policy),
            identities=Gauge(len(self._reader.seen), self._ids),
            forgotten=self._reader.seen.dropped,
            trouble=trouble,
        )

    def _tidy(self) -> None:
        state, policy = self._state, self._policy
        if state.stream_ns is None:
            return
        horizon_ns = state.stream_ns - self._reader.horizon_ns
        history_ns = state.stream_ns - policy.retention_s * NS_PER_S
        self._checkpoint.forget(
            intake_before_ns=state.stream_ns - INTAKE_NS,
            seen_before_ns=horizon_ns,
            history_before_ns=history_ns,
        )
        counts = self._checkpoint.counts()
        # Once a day all of it, so that what is past its retention leaves the large blobs too.
        day = state.stream_ns // DAY_NS
        everything, self._day = self._day is not None and day > self._day, day
        if counts.cells_blobs <= BLOBS and counts.seen_blobs <= BLOBS and not everything:
            return
        settled_ns, oldest = state.memory.settled_ns, history_ns // SLICE_NS
        self._checkpoint.compact(
            lambda bodies: kept.merged(bodies, policy, settled_ns=settled_ns, oldest_slice=oldest),
            lambda blobs: merged(blobs, before_ns=horizon_ns),
            everything=everything,
        )

    def _entry(
        self,
        turn: RecordedTurn,
        delta: Delta,
        news: Novel,
        again: TriedAgain,
        incoming: Sequence[Incoming],
    ) -> Entry:
        # A refused time in the far future must not keep identities for ever.
        last_ns = (self._state.stream_ns or 0) + AHEAD_NS
        return Entry(
            intake=encode_turn(turn),
            stream_ns=self._state.stream_ns or 0,
            cells=kept.encode(delta.cells, delta.waiting),
            seen=news.fresh,
            seen_newest_ns=min(news.newest_ns, last_ns) if news.fresh else 0,
            markers=tuple(msgspec.json.encode(marker) for marker in delta.markers),
            rejects=again.rejects,
            replayed=again.taken,
            refused_again=again.refused,
            verdicts=tuple(
                KeptVerdict(one.deployment, epoch_ns(one.as_of), msgspec.json.encode(one))
                for one in delta.verdicts
            ),
            notices=tuple(self._notices(delta.alerts)),
            memory=delta.memory,
            positions=tuple(one.move for one in incoming if one.move is not None),
        )

    def _notices(self, alerts: Sequence[Alert]) -> list[NewNotice]:
        return [
            NewNotice(
                key=key_of(alert),
                channel=channel,
                deployment=alert.deployment,
                payload=payload_of(alert),
            )
            for alert in alerts
            for channel in self._channels
        ]

    def _commit(self, entry: Entry) -> int:
        """The number of the committed turn; DiskRefusesError once every try has failed, EngineError
        where no other try would help."""
        for pause_s in (*self._pace.pauses_s, None):
            try:
                return self._checkpoint.commit(entry)
            except Unavailable as error:
                if pause_s is None:
                    raise DiskRefusesError(str(error)) from error
                self._pace.sleep(pause_s)
            except CheckpointError as error:  # trying again would not help
                raise lost(str(error)) from error
        raise AssertionError("the last try either returns or raises")


def _give_back() -> None:
    """Returns freed memory to the system, where the C library keeps it: what one large turn took
    would stay with the process for good."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # GNU only
    if trim is not None:
        trim(0)


def _newest(facts: Facts, state: State) -> int | None:
    """The newest event time among facts that the stream has not refused as too far ahead."""
    times = facts.time_ns[facts.time_ns <= (state.stream_ns or 0)]
    return int(times.max()) if len(times) else None


def _changes(before: dict[str, Verdict], after: dict[str, Verdict]) -> tuple[str, ...]:
    """A line for every release whose verdict or action is another one now."""
    lines = []
    for name, now in after.items():
        was = before.get(name)
        if was is None or (was.verdict, was.action) != (now.verdict, now.action):
            lines.append(f"release {name}: {now.verdict}, {now.action}. {now.why}")
    return tuple(lines)

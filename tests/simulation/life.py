"""One life of a daemon, drawn from a seed, and what must be true at its end.

Real: decoding, de-duplication, judging, the checkpoint and its file. Simulated: time, senders, and
when the process dies.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from unittest.mock import patch

import msgspec
import numpy as np
import pytest

from analyzers.facts import SLICE_NS
from analyzers.folding import answers
from analyzers.folding.cells import Cells, fold, merge
from analyzers.judging.verdict import Verdict
from analyzers.policy import Measure, Policy
from analyzers.turn import State, take_turn
from collector.decoding.decode import decode
from collector.keeping.checkpoint import Checkpoint, Move
from collector.novelty.novel import Seen, keep_new
from dashboards.outbox import key_of
from pipeline import kept
from pipeline import turns as turning
from pipeline.config import parse
from pipeline.embedded import DiskRefusesError, EngineError, Taken
from pipeline.intake_log import decode_turn
from pipeline.pieces import Incoming
from pipeline.reading import Reader
from pipeline.turns import KeptTurns, Pace
from tests.simulation.crashes import CrashError, Wire, crash_around_judging, left_on_disk, wired
from tests.simulation.story import Story, story

SETTINGS = parse(b"lateness: 10s\n", {})
# Most lives judge a handful of metrics, one of each kind, and one in segments: many short lives
# find more than few long ones.
_FEW = {
    "order_submission_success", "order_confirmation_rate", "order_throughput", "api_latency",
    "edi_acceptance", "event_validity",
}  # fmt: skip
_SEGMENTED = "order_submission_success"
FEW = replace(
    SETTINGS,
    policy=replace(
        SETTINGS.policy,
        metrics=tuple(
            replace(metric, segments=metric.segments if metric.name == _SEGMENTED else ())
            for metric in SETTINGS.policy.metrics
            if metric.name in _FEW
        ),
    ),
)
_ALL_EVERY = 8
CHANNELS = ("hook", "alertmanager")
PACE = Pace(pauses_s=(0.0,), sleep=lambda _: None)
_END_NS = 3 * 3600 * 10**9  # by then every question is due
_DUE = tuple(metric.name for metric in SETTINGS.policy.metrics if metric.measure is Measure.ANSWER)


@dataclass(slots=True)
class Lived:
    """What happened in a life, counted."""

    turns: int = 0
    crashes: int = 0
    refusals: int = 0
    zombies: int = 0
    compactions: int = 0
    verdicts: int = 0
    notices: int = 0
    events: int = 0
    late: int = 0


@dataclass(slots=True)
class Partition:
    """One partition of a topic: ``at`` is how far it was read and committed, as we believe."""

    name: str
    payloads: Sequence[bytes]
    at: int = 0

    def incoming(self, most: int) -> Incoming:
        """The next payloads, with the move of the position."""
        end = min(self.at + most, len(self.payloads))
        before = str(self.at) if self.at else None
        return Incoming(
            payloads=self.payloads[self.at : end],
            source=self.name,
            offsets=np.arange(self.at, end),
            move=Move(self.name, before, str(end)) if end > self.at else None,
            behind=end < len(self.payloads),
        )


class Life:
    """A life in a folder of its own."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.lived = Lived()
        self._settings = FEW if seed % _ALL_EVERY else SETTINGS
        self._draw = random.Random(seed)
        self._story = story(self._draw, long=not seed % _ALL_EVERY)
        self._folders = (folder / f"state-{number}" for number in count())
        self._folder = next(self._folders)
        self._partitions = [
            Partition(f"kafka:orders/{number}", payloads)
            for number, payloads in enumerate(self._story.partitions)
        ]
        if self._draw.random() < 0.3:  # the whole topic once more, under another name
            again = [line for one in self._story.partitions for line in one]
            self._partitions.append(Partition("kafka:again/0", again))
        self._requests = list(self._story.requests)
        self._clock_ns: int | None = None
        self._risk = self._draw.choice((0.0, 0.1, 0.3, 0.6))

    def live(self) -> Lived:
        """Lives to the end; AssertionError where anything is not as it must be."""
        while self._one_process(ending=False):
            self.lived.crashes += 1
        self._one_process(ending=True)
        return self.lived

    # --- one process ------------------------------------------------------------------------

    def _one_process(self, *, ending: bool) -> bool:
        """One start of the daemon; whether it crashed."""
        checkpoint = Checkpoint.open(self._folder)
        wire = wired(checkpoint)
        try:
            turns = KeptTurns.load(checkpoint, self._settings, channels=CHANNELS, pace=PACE)
            for partition in self._partitions:
                kept_at = int(turns.positions.get(partition.name, 0))
                assert kept_at >= partition.at, "a committed position was lost"
                partition.at = kept_at
            self._clock_ns = turns.stream_ns
            if ending:
                self._end(turns, checkpoint)
            else:
                while self._left():
                    self._step(turns, checkpoint)
        except CrashError:
            self._folder = left_on_disk(checkpoint, next(self._folders))
            return True
        wire.connection.execute("SELECT 1")  # nothing of ours has closed it
        checkpoint.close()
        return False

    def _left(self) -> bool:
        return bool(self._requests) or any(p.at < len(p.payloads) for p in self._partitions)

    def _step(self, turns: KeptTurns, checkpoint: Checkpoint) -> None:
        draw = self._draw
        if draw.random() < 0.05:
            self._zombie(turns, checkpoint)
        if draw.random() < 0.1:
            self._upkeep(turns, checkpoint)
        sizes = [draw.choice((0, 1, 5, 40)) for _ in self._partitions]
        read = [part.incoming(size) for part, size in zip(self._partitions, sizes, strict=True)]
        # A sender waits for its answer before it sends what follows, so that the first stays first.
        posted = self._requests[: draw.randrange(3)]
        self._take(turns, checkpoint, [*map(Incoming, posted), *read])
        for partition, one in zip(self._partitions, read, strict=True):
            partition.at += len(one.payloads)
        if draw.random() < self._risk / 3:
            raise CrashError  # it is on disk, and nobody hears of it
        del self._requests[: len(posted)]
        if posted and draw.random() < 0.1:
            self._requests.insert(0, posted[-1])  # its sender did not hear the answer

    def _take(self, turns: KeptTurns, checkpoint: Checkpoint, came: list[Incoming]) -> Taken:
        draw, clock_ns = self._draw, self._passed()
        wire = _wire(checkpoint)
        with ExitStack() as stack:
            if draw.random() < self._risk:
                match draw.randrange(4):
                    case 0:
                        raise CrashError
                    case 1:
                        stack.enter_context(crash_around_judging(before=draw.random() < 0.5))
                    case _:
                        # A turn is some thirty statements; beyond its last one nothing happens.
                        refuse = draw.choice((0, 0, 1, 2, 3))
                        wire.arm(draw.randrange(1, 40), late=draw.random() < 0.5, refuse=refuse)
            taken = self._patiently(turns, came, clock_ns)
        wire.arm(0, late=False, refuse=0)
        self.lived.turns += 1
        for answer, one in zip(taken.answers, came, strict=True):
            told = answer.accepted + answer.duplicates + len(answer.rejected)
            assert told + (answer.ignored or 0) == len(one.payloads)
        return taken

    def _patiently(self, turns: KeptTurns, came: Sequence[Incoming], clock_ns: int | None) -> Taken:
        try:
            return turns.take(came, clock_ns)
        except DiskRefusesError:
            while True:
                self.lived.refusals += 1
                try:
                    return turns.again()
                except DiskRefusesError:
                    continue

    def _passed(self) -> int | None:
        """The stream's time as moved on by the clock, which may run far ahead of what is read."""
        if self._clock_ns is not None:
            step_s = self._draw.choice((0, 0, 1, 30, 600))
            latest_ns = self._story.end_ns + 600 * 10**9
            self._clock_ns = min(self._clock_ns + step_s * 10**9, latest_ns)
        elif self._draw.random() < 0.5:
            self._clock_ns = None
        return self._clock_ns

    def _upkeep(self, turns: KeptTurns, checkpoint: Checkpoint) -> None:
        draw, wire = self._draw, _wire(checkpoint)
        if draw.random() < self._risk:
            refuse = draw.choice((0, 0, 1))
            wire.arm(draw.randrange(1, 30), late=draw.random() < 0.5, refuse=refuse)
        with patch.object(turning, "BLOBS", 2):
            turns.upkeep()
        wire.arm(0, late=False, refuse=0)
        self.lived.compactions += 1

    def _zombie(self, turns: KeptTurns, checkpoint: Checkpoint) -> None:
        """Another process takes over (somebody removed the lock); the old one comes back to life,
        and must not get a word in."""
        assert checkpoint._lock is not None
        checkpoint._lock.release()
        checkpoint._lock = None
        with Checkpoint.open(self._folder) as successor:
            before = successor.load()
            came = [Incoming(one) for one in self._requests[:1]]
            checkpoint._lock = object()  # type: ignore[assignment]  # it believes to have it still
            with pytest.raises(EngineError, match="taken over by another process"):
                turns.take([*came, *(part.incoming(5) for part in self._partitions)], None)
            checkpoint._lock = None
            assert successor.load() == before, "a zombie has changed something"
        self.lived.zombies += 1
        raise CrashError

    # --- the end ----------------------------------------------------------------------------

    def _end(self, turns: KeptTurns, checkpoint: Checkpoint) -> None:
        last_ns = self._story.end_ns + 600 * 10**9 + SLICE_NS
        done = [Incoming(source=part.name, behind=False) for part in self._partitions]
        turns.take(done, last_ns)
        turns.take([], last_ns + _END_NS)
        _check(self._story, self._partitions, self._settings.policy, checkpoint, self.lived)


def _check(
    told: Story,
    partitions: Sequence[Partition],
    policy: Policy,
    checkpoint: Checkpoint,
    lived: Lived,
) -> None:
    saved = checkpoint.load()
    state = State.restore(
        saved.memory or b"", cells=[], waiting=[], markers=[], verdicts=[], policy=policy
    )
    cells = merge([kept.decode(body)[0] for body in saved.cells])
    # 1. every event, marker and reject counts once
    batch = decode(told.distinct, attributes=policy.attributes(), limits=policy.limits)
    once = keep_new(batch, Seen()).batch
    counts = state.counts
    assert counts.events == len(once.facts)
    assert counts.markers == len(once.markers)
    # What is said of a release may come before its start, and is told as odd once.
    orphans = counts.rejected_by_reason.get("marker_without_start", 0)
    assert orphans < len(once.markers)
    assert counts.rejected - orphans == len(once.rejects)
    assert counts.conflicts >= told.conflicts
    assert len(checkpoint.rejects(10_000)) - orphans == len(once.rejects)
    assert len(saved.markers) == len(once.markers)
    # 2. the cells are those of one fold of them
    assert (
        part_of(cells, due=False).digest()
        == fold(once.facts, once.rejects, policy, open_from=0).digest()
    ), "the cells are not those of one fold"
    due = answers.settle(
        answers.heard(once.facts, policy), policy,
        old=0, since_ns=0, until_ns=told.end_ns + _END_NS, open_from=0,
    )  # fmt: skip
    assert _asked(cells) == _asked(due), "a question was lost or doubled"
    # 3. sources stand at their ends
    ends = {part.name: str(len(part.payloads)) for part in partitions if part.payloads}
    assert dict(saved.positions) == ends
    # 4. a replay of the recorded intake gives the same verdicts and notices, in the same order
    verdicts, keys = _retaken(checkpoint, policy)
    for deployment in {verdict.deployment for verdict in verdicts}:
        bodies = [one.body for one in checkpoint.verdicts(deployment, 100_000)][::-1]
        live = [msgspec.json.decode(body, type=Verdict) for body in bodies]
        assert live == [one for one in verdicts if one.deployment == deployment]
    # 5. every notice is queued once for each channel
    queued = Counter((notice.key, notice.channel) for notice in checkpoint.notices(100_000))
    assert set(queued.values()) <= {1}, "a notice is queued twice"
    assert queued == Counter((key, channel) for key in keys for channel in CHANNELS)
    checkpoint.verify()
    lived.verdicts, lived.notices = len(verdicts), len(keys)
    lived.events, lived.late = counts.events, counts.late


def _wire(checkpoint: Checkpoint) -> Wire:
    wire: object = checkpoint._db
    assert isinstance(wire, Wire)
    return wire


def part_of(cells: Cells, *, due: bool) -> Cells:
    """Only the cells of questions, or only the others."""
    chosen = np.array([(one.metric in _DUE) == due for one in cells.series], np.bool_)
    part = cells.where(chosen[cells.of], chosen[cells.bin_of]) if len(chosen) else cells
    return merge([part])


def _asked(cells: Cells) -> dict[str, int]:
    """How many questions were settled, by metric."""
    found: Counter[str] = Counter()
    part = part_of(cells, due=True)
    series = list(part.series)
    for of, number in zip(part.of.tolist(), part.count.tolist(), strict=True):
        if not series[of].segment:
            found[series[of].metric] += number
    return dict(found)


def _retaken(checkpoint: Checkpoint, policy: Policy) -> tuple[list[Verdict], list[str]]:
    """The verdicts and the keys of the notices of the recorded intake, taken once more."""
    state, verdicts, keys = State(), list[Verdict](), list[str]()
    reader = Reader(policy, Seen(), knows=None)
    hold_ns: int | None = None
    for _, body in checkpoint.intake_log():
        turn = decode_turn(body)
        read = reader.read(turn.payloads, state.stream_ns, hold_ns)
        hold_ns = turn.hold_ns
        inbox = read.inbox(clock_ns=turn.clock_ns, hold_ns=turn.hold_ns)
        delta = take_turn(state, inbox, policy)
        verdicts += delta.verdicts
        keys += [key_of(alert) for alert in delta.alerts]
    return verdicts, keys


def lives(seeds: Sequence[int], folder: Path) -> Iterator[tuple[int, Lived]]:
    """Lives one after another, each in a folder that is gone when it was sound."""
    for seed in seeds:
        place = folder / f"life-{seed}"
        place.mkdir(parents=True)
        yield seed, Life(seed, place).live()
        shutil.rmtree(place)

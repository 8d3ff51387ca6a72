"""The embedded engine: takes waiting requests turn by turn, commits, then answers.

One event loop serves HTTP; one worker thread does the turns, never two at once, so nothing else
may touch the state. What the faces read is the snapshot of the last commit. Group commit needs no
timer: while one turn is being written to disk, the next one's requests gather.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

from analyzers.facts import SLICE_NS
from analyzers.policy import Limits
from collector.posted.waiting import Answer, ClosedError, Request, WaitingRoom
from dashboards.api.page_data import Evidence
from dashboards.snapshot import Distribution, Gauge, Snapshot, Vitals
from pipeline.clock import StreamClock
from pipeline.pieces import Answers, Incoming, grouped
from pipeline.sources import Pulling

# What one turn may bring. An event of the catalogue touches up to about forty cells of 100 bytes:
# at ten times as many events, a batch in which nothing repeats would not fit into one transaction,
# and the sender would repeat it for ever. A tenth costs a third of the speed.
TURN_EVENTS: Final = 16_384
# What is taken out of the waiting room at once: one body at its limit, and some more.
TURN_BYTES: Final = 64 << 20
# Where several senders are at work, those that were answered by one turn send again at once; so
# long a pause lets them share the next one, and its commit, instead of every second one.
GATHER_S: Final = 0.004
# Upkeep (compaction, retention) after so many commits: rare enough to cost nothing, often enough
# that a restart reads few blobs.
UPKEEP_TURNS: Final = 256
# Pauses between further tries of a turn that the disk has refused; the last one repeats. Longer
# ones leave a cleared disk unused, shorter ones fill the log of the system with its errors.
REFUSED_PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0)
_IDLE_S: Final = 1.0
_NOTHING: Final = Gauge()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Taken:
    """What one committed turn was: an answer for each request, what changed, how long it took."""

    answers: tuple[Answer, ...]
    newest_ns: int | None  # of the events that were new
    snapshot: Snapshot
    judged_s: float
    committed_s: float
    news: tuple[str, ...] = ()  # changed verdicts, in words


@dataclass(frozen=True, slots=True)
class Growth:
    """How near the state is to its bounds."""

    outbox: Gauge = _NOTHING
    open_deployments: Gauge = _NOTHING
    series: Gauge = _NOTHING
    identities: Gauge = _NOTHING
    forgotten: int = 0  # identities dropped for their number alone
    trouble: str = ""  # why upkeep could not be done this time


class EngineError(Exception):
    """The engine cannot go on; the message says why and what to do."""


class DiskRefusesError(Exception):
    """A turn that the disk does not take now; ``Turns.again`` tries the same one once more."""


def lost(why: str) -> EngineError:
    """The error of a turn that is not kept, and so of the end."""
    return EngineError(
        f"a turn could not be kept, so the daemon stops: {why}. Nothing that was acknowledged "
        "is lost; senders that got no answer send again"
    )


class Turns(Protocol):
    """The state and its checkpoint; used by one thread only."""

    @property
    def stream_ns(self) -> int | None:
        """How far the stream had come at the last commit."""

    @property
    def positions(self) -> Mapping[str, str]:
        """How far each source had been read when the state was loaded."""

    def snapshot(self) -> Snapshot:
        """What the state says as of the last commit."""

    def take(self, incoming: Sequence[Incoming], clock_ns: int | None) -> Taken:
        """One turn, committed. EngineError if it cannot be kept: the state is lost then.
        DiskRefusesError if it may be kept later: until then nothing but ``again`` may be asked."""

    def again(self) -> Taken:
        """The turn that the disk refused, committed; errors as in ``take``."""

    def evidence(self, deployment: str) -> Evidence:
        """The evidence on a deployment over time."""

    def upkeep(self) -> Growth:
        """Compacts what is kept, drops what is past its retention; how much there is.

        A disk that refuses is told in ``trouble``: upkeep can wait.
        """


class Engine:
    """Takes turns from ``run`` to ``stop``; the faces read it meanwhile.

    ``load`` gives the state (in the worker thread, since it may take long); ``say`` writes a line
    for whoever looks on; ``now_s`` gives seconds of a monotonic clock; ``refused`` how many
    requests were turned away, by error.
    """

    def __init__(
        self,
        *,
        room: WaitingRoom,
        load: Callable[[], Turns],
        clock: StreamClock,
        limits: Limits,
        now_s: Callable[[], float],
        say: Callable[[str], None],
        refused: Callable[[], dict[str, int]],
        sources: Sequence[Pulling] = (),
    ) -> None:
        self._room = room
        self._load = load
        self._clock = clock
        self._limits = limits
        self._now_s = now_s
        self._report = Report(say)
        self._refused = refused
        self._sources = sources
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="turns")
        self._turns: Turns | None = None
        self._snapshot = Snapshot()
        self._growth = Growth()
        self._judgement = self._commit = Distribution()
        self._count = 0
        self._slice: int | None = None
        self._lag_s = 0.0
        self._committed_at_s: float | None = None
        self._company = False  # the last turn had several requests: more are on their way
        self._stopping = False
        self._refusing = ""  # why the disk does not take what is decided; mostly empty
        self._leaving = False
        self._ending = asyncio.Event()

    # --- what the faces read ----------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What was committed last, with the time and the vital signs of now."""
        now_s = self._now_s()
        oldest_s = self._room.oldest_s()
        age_s = None if self._committed_at_s is None else now_s - self._committed_at_s
        vitals = Vitals(
            ready=self._turns is not None and not self._stopping and not self._refusing,
            turns=self._count,
            queue_events=Gauge(self._room.events, self._room.events_limit),
            queue_bytes=Gauge(self._room.size, self._room.size_limit),
            outbox=self._growth.outbox,
            open_deployments=self._growth.open_deployments,
            series=self._growth.series,
            identities=self._growth.identities,
            identities_forgotten=self._growth.forgotten,
            ingest_lag_s=self._lag_s if oldest_s is None else now_s - oldest_s,
            checkpoint_age_s=age_s,
            judgement=self._judgement,
            commit=self._commit,
            requests_refused=self._refused(),
            sources=tuple(one.vitals for one in self._sources),
        )
        return replace(
            self._snapshot,
            now_ns=self._clock.now_ns(),
            quiet_s=self._clock.quiet_s(),
            vitals=vitals,
        )

    async def evidence(self, deployment: str) -> Evidence:
        """The evidence on a deployment; empty if it is unknown or the state is not loaded."""
        turns = self._turns
        if turns is None or self._refusing:  # what is in memory is ahead of the disk
            return Evidence(deployment)
        return await self._in_worker(lambda: turns.evidence(deployment))

    # --- what moves -------------------------------------------------------------------------

    async def run(self) -> None:
        """Loads the state and takes turns until ``stop``; EngineError if it cannot go on.

        Whatever ends it, every request that still waits is told that it was not kept.
        """
        reading: list[asyncio.Task[None]] = []
        try:
            turns = await self._in_worker(self._load)
            self._clock.anchor(turns.stream_ns)
            self._snapshot = await self._in_worker(turns.snapshot)
            await self._upkeep(turns)
            self._turns = turns
            if not self._stopping:
                self._room.open()
                reading = [asyncio.create_task(one.run(turns.positions)) for one in self._sources]
            while not self._stopping or len(self._room):
                await self._room.wait(timeout_s=self._until_tick_s())
                if self._company:
                    await asyncio.sleep(GATHER_S)
                await self._step(turns)
                for task in reading:
                    if task.done():
                        task.result()  # a mistake of ours in there ends the daemon
        finally:
            for one in self._sources:
                one.stop()
            self._room.close("the daemon has stopped; send it again when it is back")
            for request in self._room.take(events=self._room.events, size=self._room.size):
                request.fail(ClosedError("the daemon has stopped before this was kept"))
            await asyncio.gather(*reading, return_exceptions=True)
            self._report.flush()
            self._turns = None
            self._worker.shutdown()

    def leave(self) -> None:
        """Hears that the daemon is about to end: what the disk refuses is waited for no longer."""
        self._leaving = True
        self._ending.set()

    def stop(self) -> None:
        """Ends ``run`` once everything that waits has had its turn."""
        self._stopping = True
        self.leave()
        for one in self._sources:
            one.stop()
        self._room.close("the daemon is stopping; send it again when it is back")

    async def _step(self, turns: Turns) -> None:
        self._company = len(self._room) > 1
        requests = self._room.take(events=self._limits.batch_events, size=TURN_BYTES)
        if not requests and not self._passed(self._clock.now_ns()):
            return
        try:
            await self._turns_of(turns, requests)
        except BaseException:
            for request in requests:
                request.fail(ClosedError("the daemon could not keep this; send it again later"))
            raise
        finally:
            self._room.release(requests)

    async def _turns_of(self, turns: Turns, requests: list[Request]) -> None:
        """Takes as many turns as the requests need, mostly one; each is answered when all of it
        is committed."""
        answers = Answers()
        most = min(self._limits.batch_events, TURN_EVENTS)
        for group in grouped(requests, most=most):
            taken = await self._turn(turns, [piece.incoming() for piece in group])
            for piece, answer in zip(group, taken.answers, strict=True):
                answers.add(piece, answer)
        if requests:
            now_s = self._now_s()
            self._lag_s = max(now_s - request.arrived_s for request in requests)

    async def _turn(self, turns: Turns, incoming: list[Incoming]) -> Taken:
        clock_ns = self._clock.now_ns()
        try:
            taken = await self._in_worker(lambda: turns.take(incoming, clock_ns))
        except DiskRefusesError as error:
            taken = await self._until_kept(turns, error)
        if taken.newest_ns is not None:
            self._clock.observe(taken.newest_ns)
        if clock_ns is not None and (turns.stream_ns or clock_ns) < clock_ns:
            self._clock.anchor(turns.stream_ns)  # a broken clock had begun the stream
        stream_ns = self._clock.now_ns()  # as moved by this turn: it has closed those slices
        self._slice = None if stream_ns is None else stream_ns // SLICE_NS
        self._count += 1
        self._committed_at_s = self._now_s()
        self._snapshot = taken.snapshot
        self._judgement = self._judgement.observe(taken.judged_s)
        self._commit = self._commit.observe(taken.committed_s)
        self._report.add(taken, self._committed_at_s)
        if self._count % UPKEEP_TURNS == 0:
            await self._upkeep(turns)
        return taken

    async def _until_kept(self, turns: Turns, error: DiskRefusesError) -> Taken:
        """The turn that the disk refused, once it is kept; nobody else gets in meanwhile.

        EngineError when the daemon is told to end and the disk still refuses.
        """
        pauses = iter(REFUSED_PAUSES_S)
        pause_s = next(pauses)
        try:
            while True:
                if str(error) != self._refusing:
                    self._report.say(f"nothing can be kept, so nothing is taken: {error}")
                self._refusing = str(error)
                if not self._stopping:
                    self._room.close(f"nothing can be kept now ({error}); send it again later")
                with suppress(TimeoutError):  # its being over is what is mostly waited for
                    async with asyncio.timeout(pause_s):
                        await self._ending.wait()
                leaving = self._leaving
                try:
                    taken = await self._in_worker(turns.again)
                except DiskRefusesError as again:
                    if leaving:
                        raise lost(str(again)) from again
                    error, pause_s = again, next(pauses, pause_s)
                else:
                    break
        finally:
            self._refusing = ""
        if not self._stopping:
            self._room.open()
        self._report.say("the disk takes what comes in again; nothing was lost")
        return taken

    async def _upkeep(self, turns: Turns) -> None:
        self._growth = await self._in_worker(turns.upkeep)
        if self._growth.trouble:
            self._report.say(f"upkeep is put off: {self._growth.trouble}")

    def _passed(self, clock_ns: int | None) -> bool:
        """Whether a slice has passed since the last turn, so that a stop of traffic is seen."""
        return clock_ns is not None and clock_ns // SLICE_NS != self._slice

    def _until_tick_s(self) -> float:
        """Seconds until the stream's time enters its next slice; at most a second, since a stream
        that has not begun or is moved by events must be looked at again."""
        now_ns = self._clock.now_ns()
        if now_ns is None:
            return _IDLE_S
        return min((SLICE_NS - now_ns % SLICE_NS) / 1e9, _IDLE_S)

    async def _in_worker(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)


class Report:
    """One line a second about what arrives, and one for every verdict that changes."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self._since_s: float | None = None
        self._accepted = self._duplicates = self._rejected = 0
        self._reasons: dict[str, int] = {}

    def add(self, taken: Taken, now_s: float) -> None:
        """Takes a turn in; says what there is to say."""
        for answer in taken.answers:
            self._accepted += answer.accepted
            self._duplicates += answer.duplicates
            self._rejected += len(answer.rejected)
            for rejected in answer.rejected:
                self._reasons[rejected.reason] = self._reasons.get(rejected.reason, 0) + 1
        for line in taken.news:
            self.say(line)
        if self._since_s is None or now_s - self._since_s >= 1.0:
            self.flush()
            self._since_s = now_s

    def flush(self) -> None:
        """Says what has not been said yet."""
        parts = [f"{self._accepted} accepted"] if self._accepted else []
        parts += [f"{self._duplicates} seen before"] if self._duplicates else []
        if self._rejected:
            reasons = ", ".join(f"{word} {n}" for word, n in sorted(self._reasons.items()))
            parts.append(f"{self._rejected} rejected ({reasons})")
        if parts:
            self.say("events: " + ", ".join(parts))
        self._accepted = self._duplicates = self._rejected = 0
        self._reasons = {}

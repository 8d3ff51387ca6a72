"""Sources that are read: each at its own pace, committed turn by turn, waited for when it is away.

Two batches of a source are under way at most: one is being committed while the next one is read.
A source in trouble never troubles the others: it is asked again with growing pauses, or, where
only a person can help, stops and says so. What was read and not committed is read again.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from collector.posted.waiting import Answer, ClosedError, WaitingRoom
from collector.source import Part, RawBatch, Source, SourceBusyError, SourceError
from dashboards.snapshot import SourceVitals

# A batch of which everything is refused must fit into the rejects that are kept (10,000), so that
# nothing of it is lost before the source stops. Twice as many would save a tenth of a core.
BATCH_EVENTS: Final = 8_192
# So long a poll waits for something to come; the end of the daemon waits as long.
POLL_S: Final = 0.5
# Pauses before a source that does not answer is asked again; the last one goes on.
BUSY_PAUSES_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
# While nothing can be committed (a full disk), a batch waits and is offered again.
CLOSED_PAUSE_S: Final = 0.5
# A source with more to give that gives nothing for so long holds up the others no longer.
IDLE_S: Final = 60.0
# So many payloads are looked at to tell whether most of a source is of no use.
WINDOW: Final = 1_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """What may differ in a test or in a configuration."""

    reject_ratio: float = 0.5
    batch_events: int = BATCH_EVENTS
    poll_s: float = POLL_S
    idle_s: float = IDLE_S
    busy_pauses_s: tuple[float, ...] = BUSY_PAUSES_S
    closed_pause_s: float = CLOSED_PAUSE_S


class Pulling:
    """Reads one source into the waiting room from ``run`` to ``stop``.

    ``say`` writes a line for whoever looks on; ``now_s`` gives seconds of a monotonic clock.
    """

    def __init__(
        self,
        source: Source,
        room: WaitingRoom,
        *,
        now_s: Callable[[], float],
        say: Callable[[str], None],
        patience: Patience | None = None,
    ) -> None:
        self._source = source
        self._room = room
        self._now_s = now_s
        self._say = say
        self._patience = patience or Patience()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="source")
        self._ending = asyncio.Event()
        self._trouble = ""
        self._stopped = ""
        self._heard = False  # whether the engine knows by now how far the source has been read
        self._read = self._rejected = self._duplicates = 0
        self._ignored: Counter[str] = Counter()
        self._behind: dict[str, float] = {}  # when each of them gave something last
        self._window: deque[tuple[int, int]] = deque()
        self._reasons: Counter[str] = Counter()

    @property
    def label(self) -> str:
        """What the source is called."""
        return self._source.label

    @property
    def vitals(self) -> SourceVitals:
        """How it does, for the faces."""
        return SourceVitals(
            label=self._source.label,
            trouble=self._stopped or self._trouble,
            stopped=bool(self._stopped),
            read=self._read,
            rejected=self._rejected,
            duplicates=self._duplicates,
            ignored=dict(self._ignored),
            behind=len(self._behind),
        )

    def stop(self) -> None:
        """Ends ``run`` soon; what is under way is committed or read again later."""
        self._ending.set()

    async def run(self, positions: Mapping[str, str]) -> None:
        """Reads on from ``positions`` until ``stop``, or until only a person can help."""
        committing: asyncio.Task[None] | None = None
        try:
            await self._patiently(lambda: self._source.open(positions))
            while not self._ending.is_set():
                if committing is not None and not self._proven():
                    await committing
                    committing = None
                batch = await self._patiently(self._poll)
                if committing is not None:
                    await committing
                    committing = None
                parts = [] if batch is None else self._worth_telling(batch)
                if batch is not None and not self._heard:
                    parts.append(Part(self.label))
                    self._heard = True
                if batch is not None and (parts or batch.ignored):
                    committing = asyncio.create_task(self._commit(batch, parts))
            if committing is not None:
                await committing
        except SourceError as error:
            self._stopped = str(error)
            self._say(f"{self._source.label} stops: {error}")
            await self._hold_nobody_up()
        except ClosedError as error:
            self._trouble = str(error)  # the daemon ends; what was not taken is read again
        finally:
            if committing is not None and not committing.done():
                committing.cancel()
                with suppress(asyncio.CancelledError, ClosedError, SourceError):
                    await committing
            await self._in_thread(self._source.close)
            self._thread.shutdown()

    def _poll(self) -> RawBatch:
        """What comes next: little of a source that may have to be left alone."""
        most = self._patience.batch_events
        events = most if self._proven() else min(most, WINDOW)
        return self._source.poll(events=events, wait_s=self._patience.poll_s)

    def _proven(self) -> bool:
        """Whether of the last payloads so few were refused that the next ones may be many."""
        seen = sum(n for n, _ in self._window)
        rejected = sum(bad for _, bad in self._window)
        return seen >= WINDOW and 2 * rejected <= self._patience.reject_ratio * seen

    async def _patiently(self, work: Callable[[], T]) -> T | None:
        """What ``work`` gives once the source answers; None when told to end before."""
        pauses, begun_s = iter(self._patience.busy_pauses_s), self._now_s()
        pause_s = next(pauses)
        while not self._ending.is_set():
            try:
                found = await self._in_thread(work)
            except SourceBusyError as error:
                if str(error) != self._trouble:
                    self._say(f"{self._source.label} does not answer: {error}")
                self._trouble = str(error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._ending.wait()
                pause_s = next(pauses, pause_s)
                if self._now_s() - begun_s >= self._patience.idle_s:
                    await self._hold_nobody_up()
                continue
            if self._trouble:
                self._say(f"{self._source.label} answers again")
            self._trouble = ""
            return found
        return None

    def _worth_telling(self, batch: RawBatch) -> list[Part]:
        """The parts of a batch that change anything, with one for every partition that gives
        nothing for long; notes are said at once."""
        for note in batch.notes:
            self._say(f"{self._source.label}: {note}")
        now_s, parts = self._now_s(), []
        for part in batch.parts:
            known = part.source in self._behind
            if part.behind and (part.payloads or not known):
                self._behind[part.source] = now_s
            elif not part.behind:
                self._behind.pop(part.source, None)
            if part.payloads or part.after is not None or part.behind != known:
                parts.append(part)
        for source, last_s in list(self._behind.items()):
            if last_s < now_s - self._patience.idle_s:
                del self._behind[source]
                parts.append(Part(source))
        return parts

    async def _commit(self, batch: RawBatch, parts: list[Part]) -> None:
        """Returns when all of a batch is on disk; SourceError when most of the source is of no
        use, ClosedError when the daemon ends before."""
        ignored: Mapping[str, int] = batch.ignored
        parts = parts or [Part(self._source.label)]
        offers = []
        for part in parts:
            offers.append(self._offer(part, ignored))
            ignored = {}
        answers = await asyncio.gather(*offers)
        self._ignored.update(batch.ignored)
        await self._in_thread(lambda: self._source.committed(batch.parts))
        for part, answer in zip(parts, answers, strict=True):
            self._count(part, answer)
        self._judge()

    async def _hold_nobody_up(self) -> None:
        """Lets the engine go on without a source that gives nothing, or of which it has heard
        nothing yet; whatever is behind there is late when it comes after all."""
        waited_for = list(self._behind) if self._heard else [*self._behind, self.label]
        self._heard = True
        self._behind.clear()
        with suppress(ClosedError):
            for source in waited_for:
                await self._offer(Part(source), {})

    async def _offer(self, part: Part, ignored: Mapping[str, int]) -> Answer:
        while True:
            try:
                return await self._room.submit_part(part, now_s=self._now_s, ignored=ignored)
            except ClosedError:
                if self._ending.is_set():
                    raise
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._patience.closed_pause_s):
                        await self._ending.wait()

    def _count(self, part: Part, answer: Answer) -> None:
        rejected = len(answer.rejected)
        self._read += len(part.payloads)
        self._rejected += rejected
        self._duplicates += answer.duplicates
        if answer.ignored:
            self._ignored["understood"] += answer.ignored
        if not part.payloads:
            return
        self._reasons.update(one.reason for one in answer.rejected)
        self._window.append((len(part.payloads), rejected))
        while sum(n for n, _ in self._window) - self._window[0][0] >= WINDOW:
            self._window.popleft()
        if not rejected and all(not bad for _, bad in self._window):
            self._reasons.clear()

    def _judge(self) -> None:
        """SourceError when too many of the last payloads were of no use: rather than draining a
        whole topic into the rejects, it is left alone until somebody has looked."""
        seen = sum(n for n, _ in self._window)
        rejected = sum(bad for _, bad in self._window)
        if seen < WINDOW or rejected <= self._patience.reject_ratio * seen:
            return
        reasons = ", ".join(f"{reason} {n}" for reason, n in self._reasons.most_common(3))
        raise SourceError(
            f"{rejected} of the last {seen} payloads were rejected ({reasons}); look at them with "
            "plimsoll rejects list, mend the mapping or the sender, and start the daemon again: "
            "it goes on where it stopped, and plimsoll rejects replay takes what was kept"
        )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

"""The one function that moves state: ``take_turn``.

Time comes in as facts (the clock is read elsewhere); what must be kept goes out as a delta. Steps
that must keep their order are numbered in ``take_turn``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import numpy as np

from analyzers.ahead import AGREED, AHEAD_NS, Admitted, admit, advance, median, within_reach
from analyzers.comparing.arms import replaced, shown_before
from analyzers.comparing.comparisons import Comparisons
from analyzers.comparing.pasts import pasts
from analyzers.facts import NS_PER_S, SLICE_NS, Marker
from analyzers.folding import answers
from analyzers.folding.answers import Waiting, nothing_waiting
from analyzers.folding.archive import Archive
from analyzers.folding.cardinality import Roster
from analyzers.folding.cells import Cells, Series, as_happened, fold, merge, no_cells
from analyzers.folding.series import coded
from analyzers.inbox import Counts, Delta, EventTotal, Inbox, Memory
from analyzers.judging import evidence as found
from analyzers.judging.alert import firing, resolved
from analyzers.judging.evidence import EXPECTED_DAYS, Evidence
from analyzers.judging.judge import judge
from analyzers.judging.verdict import Alert, Verdict
from analyzers.orphans import passed_by
from analyzers.policy import Measure, Policy
from analyzers.timeline import Deployment, Timeline, timeline
from analyzers.times import rfc3339

__all__ = ["Counts", "Delta", "EventTotal", "Inbox", "Memory", "State", "take_turn"]

_ENDED_KEPT: Final = 20  # ended releases whose evidence stays in memory for the page

# Rows of forgotten comparisons that may lie about before the table is made anew.
_ROWS_FREE: Final = 1_000


class State:
    """Everything known so far. Moved by ``take_turn`` only; attributes are for reading."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.sealed = Archive()
        self._open = [no_cells()]
        self.roster = Roster()
        self.waiting: Waiting = nothing_waiting()
        self.markers: list[Marker] = []
        self.timeline = Timeline((), ())
        self.comparisons = Comparisons()  # of all open releases
        self.evidence: dict[str, Evidence] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.totals: dict[Series, EventTotal] = {}
        self.begun_anew = False  # this turn found that a broken clock had begun the stream
        self.rooted = True  # False after a restart, until an event comes from where it stood
        self.astray: list[int] = []  # times of events refused since then

    @property
    def unsealed(self) -> Cells:
        """The cells of slices that are still open."""
        if len(self._open) > 1:
            self._open = [merge(self._open)]
        return self._open[0]

    @unsealed.setter
    def unsealed(self, cells: Cells) -> None:
        self._open = [cells]

    def open(self, cells: Cells) -> None:
        """Takes in cells; merging them each time would cost as much as all that are open."""
        self._open.append(cells)
        if sum(map(len, self._open[1:])) > len(self._open[0]):
            self._open = [merge(self._open)]

    @property
    def counts(self) -> Counts:
        """How many of each there were so far."""
        return self.memory.counts

    @property
    def stream_ns(self) -> int | None:
        """How far the stream has come, by its newest event or the clock; None before any."""
        return self.memory.stream_ns

    @property
    def watermark_ns(self) -> int | None:
        """The end of the last closed slice; None before any."""
        return None if self.memory.open_from is None else self.memory.open_from * SLICE_NS

    @classmethod
    def restore(
        cls,
        memory: bytes,
        *,
        cells: Iterable[Cells],
        waiting: Iterable[Waiting],
        markers: Iterable[Marker],
        verdicts: Iterable[Verdict],
        policy: Policy,
    ) -> State:
        """The state that a checkpoint kept; evidence of open releases is folded anew."""
        state = cls()
        state.memory = msgspec.msgpack.decode(memory, type=Memory) if memory else Memory()
        state.rooted = False
        everything = merge(list(cells))
        state.roster.learn(everything)
        sealed, state.unsealed = everything.split(state.memory.open_from or 0)
        state.sealed = Archive([sealed])
        state.waiting = answers.forget(
            answers.join(list(waiting)), policy, until_ns=state.memory.settled_ns
        )
        state.markers = list(markers)
        state.timeline = timeline(state.markers)
        state.verdicts = {verdict.deployment: verdict for verdict in verdicts}
        _count(state, everything, policy)
        for deployment in state.timeline.deployments:
            if _live(deployment, state):
                _reopen(state, deployment, policy)
                _refresh(state, deployment.name)
        return state

    def cells(self) -> Cells:
        """All cells, sealed or not."""
        return merge([*self.sealed, self.unsealed])

    def evidence_of(self, name: str, policy: Policy) -> Evidence | None:
        """The evidence on a deployment, folded anew if it has ended; None if it never started."""
        known = self.evidence.get(name)
        if known is not None:
            return known
        ended = [d for d in self.timeline.deployments if d.name == name]
        return _evidence(self, ended[0], policy, Comparisons()) if ended else None


def take_turn(state: State, inbox: Inbox, policy: Policy) -> Delta:
    """Moves ``state`` by one turn and gives back what changed."""
    memory = state.memory
    # 1. what is impossibly far ahead is refused before it can move the watermark
    state.begun_anew = False
    admitted = _admit(state, inbox)
    if state.begun_anew:
        inbox = replace(inbox, clock_ns=None)  # it was moved by the broken clock
    facts, rejects = admitted.facts, list(inbox.rejects)
    # 2. stream time and the slices that this turn closes
    memory.stream_ns = _reached(admitted, inbox, memory)
    open_from = memory.open_from or 0
    closes = _closes(memory, inbox, policy)
    # 3. facts become cells, within limits; questions that fell due become cells too
    old, fresh = len(state.waiting.asked), answers.heard(facts, policy)
    state.waiting = answers.join([state.waiting, fresh])
    until = closes * SLICE_NS - 1 if closes else memory.settled_ns
    near = within_reach([*rejects, *admitted.rejects], memory.stream_ns)
    folded = fold(facts, near, policy, open_from=open_from)
    due = answers.settle(
        state.waiting, policy, old=old, since_ns=memory.settled_ns, until_ns=until,
        open_from=open_from,
    )  # fmt: skip
    state.waiting = answers.forget(state.waiting, policy, until_ns=until)
    memory.settled_ns = until
    held = state.roster.held(merge([folded, due]), policy, (*state.markers, *inbox.markers))
    new = held.cells
    # 4. count
    memory.counts.events += len(facts)
    memory.counts.late += int((facts.time_ns // SLICE_NS < open_from).sum())
    memory.counts.duplicates += inbox.duplicates
    memory.counts.conflicts += inbox.conflicts
    memory.counts.folded += held.folded
    for kind, n in inbox.ignored.items():
        memory.counts.ignored[kind] = memory.counts.ignored.get(kind, 0) + n
    _count(state, new, policy)
    # 5. markers change the timeline; what they touch is judged anew from the cells
    state.open(new)
    touched = _learn(state, inbox.markers)
    if state.begun_anew:
        touched |= {deployment.name for deployment in state.timeline.deployments}
    ticked = closes > open_from
    if ticked:
        memory.open_from = closes
    rejects += [*passed_by(state.timeline, state.watermark_ns, memory.orphans), *admitted.rejects]
    for reason in (*(reject.reason for reject in rejects), *inbox.repeated):
        reasons = memory.counts.rejected_by_reason
        reasons[reason] = reasons.get(reason, 0) + 1
    # 6. sealed slices are evidence; evidence makes verdicts, their changes make alerts
    verdicts: list[Verdict] = []
    alerts: list[Alert] = []
    if ticked or touched:
        _seal(state, policy, touched, frontier=open_from)
        memory.done -= touched
        for name in sorted(state.evidence.keys() - memory.done):
            news = _announce(state, name, inbox.complete, policy)
            verdicts += news.verdicts
            alerts += news.alerts
        _retire(state)
    alerts.sort(key=lambda alert: (alert.at, alert.deployment))
    return Delta(
        new, fresh, inbox.markers, tuple(rejects), tuple(verdicts), tuple(alerts),
        msgspec.msgpack.encode(memory), held.news, admitted.rows,
    )  # fmt: skip


def _admit(state: State, inbox: Inbox) -> Admitted:
    """What of an inbox's facts the stream takes.

    Until a few events agree on when the stream is, nothing is refused; if they then say that it
    was begun by a broken clock, it begins anew. After a restart it may really have moved on while
    nobody listened: as many events that agree, without one from where it stood, are believed.
    """
    memory, facts = state.memory, inbox.facts
    times = facts.time_ns.tolist()
    if memory.early is not None:
        memory.early += times
        if len(memory.early) < AGREED and not inbox.complete:
            return Admitted(facts, end_ns=max(times, default=None))
        early, memory.early = memory.early, None
        if not early:
            return Admitted(facts)
        if memory.stream_ns is not None and abs(median(early) - memory.stream_ns) > AHEAD_NS:
            _begin_anew(state)
        return admit(facts, memory.stream_ns or median(early), early[: len(early) - len(times)])
    if memory.stream_ns is None or not times:
        return Admitted(facts)
    admitted = admit(facts, memory.stream_ns)
    if len(admitted.facts):
        state.rooted = True
    elif not state.rooted:
        state.astray += times
        if len(state.astray) >= AGREED:
            state.rooted = True
            return admit(facts, median(state.astray))
    return admitted


def _begin_anew(state: State) -> None:
    """Forgets where the stream stood: nothing has been judged by more than a few events."""
    everything = merge([as_happened(state.cells())])
    state.sealed, state.unsealed = Archive(), everything
    state.memory.stream_ns = state.memory.open_from = None
    state.memory.settled_ns = 0
    for name in list(state.evidence):
        del state.evidence[name]
        state.verdicts.pop(name, None)
    state.begun_anew = True


def _reached(admitted: Admitted, inbox: Inbox, memory: Memory) -> int | None:
    """Stream time after an inbox; None while it is not known.

    While it is judged live, no sender whose clock is fast may move it: see ``advance``.
    """
    times = [t for t in (memory.stream_ns, inbox.clock_ns) if t is not None]
    if admitted.start_ns is not None and not inbox.complete:
        start_ns = max([*times, admitted.start_ns])
        return advance(start_ns, admitted.times, memory.pace)
    times += [] if admitted.end_ns is None else [admitted.end_ns]
    if inbox.complete:
        times += memory.pace.leapt  # nothing more will come that could contradict them
    if inbox.complete and inbox.clock_ns is None:
        last = times[0] + AHEAD_NS if times else None
        times += [m.time_ns for m in inbox.markers if last is None or m.time_ns <= last]
    return max(times, default=None)


def _closes(memory: Memory, inbox: Inbox, policy: Policy) -> int:
    """The first slice that stays open after this turn; 0 before any event."""
    if memory.stream_ns is None:
        return memory.open_from or 0
    if inbox.complete:
        return memory.stream_ns // SLICE_NS + 1
    known_ns = memory.stream_ns if inbox.hold_ns is None else min(memory.stream_ns, inbox.hold_ns)
    passed = (known_ns - policy.lateness_s * NS_PER_S) // SLICE_NS
    return max(memory.open_from or 0, passed)


def _count(state: State, cells: Cells, policy: Policy) -> None:
    """Adds cells to the running totals of events by type and outcome."""
    flow = {metric.name for metric in policy.metrics if metric.measure is Measure.FLOW}
    events = np.zeros(len(cells.series), np.int64)
    last = np.zeros(len(cells.series), np.int64)
    np.add.at(events, cells.of, cells.count)
    np.maximum.at(last, cells.of, cells.slice)
    table = coded(cells.series)
    for i in table.about(flow, ("type", "outcome")).tolist():
        total = state.totals.setdefault(table[i], EventTotal())
        total.events += int(events[i])
        total.last_ns = max(total.last_ns, int(last[i]) * SLICE_NS)


def _learn(state: State, markers: tuple[Marker, ...]) -> set[str]:
    """Takes in markers; the names of the deployments that they started or changed."""
    if not markers:
        return set()
    before = {deployment.name: deployment for deployment in state.timeline.deployments}
    state.markers += markers
    state.timeline = timeline(state.markers)
    state.counts.markers = len(state.markers) - len(state.timeline.orphans)
    return {d.name for d in state.timeline.deployments if before.get(d.name) != d}


def _seal(state: State, policy: Policy, touched: set[str], *, frontier: int) -> None:
    """Hands the slices that have closed, from ``frontier`` on, to every open release, and keeps
    them."""
    sealed, state.unsealed = state.unsealed.split(state.memory.open_from or 0)
    state.sealed.add(sealed)
    touched = touched | _renamed(state, sealed, policy, frontier)
    moved = [evidence for name, evidence in state.evidence.items() if name not in touched]
    found.advance(moved, state.comparisons, sealed)
    kept = policy.retention_s * NS_PER_S // SLICE_NS
    state.sealed.keep(since=(state.memory.open_from or 0) - kept)
    for deployment in state.timeline.deployments:
        if deployment.name in touched:
            _reopen(state, deployment, policy)


def _renamed(state: State, sealed: Cells, policy: Policy, frontier: int) -> set[str]:
    """The releases of whose baseline more is known only now: slices before the start were still
    open, or no marker says what they replace and no other version had been seen."""
    names = set()
    for name, evidence in state.evidence.items():
        deployment, known = evidence.deployment, (evidence.replaces, evidence.expected)
        if name in state.memory.done:
            continue
        if deployment.started_ns // SLICE_NS >= frontier and deployment.replaces:
            more = shown_before(deployment, deployment.replaces, [sealed], EXPECTED_DAYS)
            changed = not more.keys() <= evidence.expected.keys()
        elif deployment.started_ns // SLICE_NS >= frontier:
            changed = _baseline(state, deployment, policy) != known
        else:
            unknown = not evidence.replaces
            changed = unknown and replaced(deployment, [sealed], _flow_name(policy)) != ""
        if changed:
            names.add(name)
    return names


def _baseline(state: State, deployment: Deployment, policy: Policy) -> tuple[str, dict[str, int]]:
    """The version that a deployment replaces, and the metrics that it showed before, each with its
    longest pause."""
    version = replaced(deployment, state.sealed, _flow_name(policy))
    return version, shown_before(deployment, version, state.sealed, EXPECTED_DAYS)


def _flow_name(policy: Policy) -> str:
    return next((m.name for m in policy.metrics if m.measure is Measure.FLOW), "")


def _evidence(state: State, deployment: Deployment, policy: Policy, table: Comparisons) -> Evidence:
    version, expected = _baseline(state, deployment, policy)
    past = pasts(deployment, state.sealed, policy)
    evidence = Evidence(deployment, version, policy, expected, table=table, past=past)
    for cells in state.sealed:
        evidence.advance(cells)
    return evidence


def _reopen(state: State, deployment: Deployment, policy: Policy) -> None:
    if deployment.name not in state.evidence and len(state.evidence) >= (
        policy.limits.open_deployments
    ):
        del state.evidence[min(state.evidence, key=lambda n: _start(state.evidence[n]))]
    evidence = _evidence(state, deployment, policy, state.comparisons)
    known = state.verdicts.get(deployment.name)
    evidence.latch(known.first_degraded_at if known else None)
    state.evidence[deployment.name] = evidence


def _start(evidence: Evidence) -> int:
    return evidence.deployment.started_ns


def _live(deployment: Deployment, state: State) -> bool:
    """Whether slices up to that of its end are still open: until then it is not judged for good."""
    ended, frontier = deployment.ended_ns, state.memory.open_from
    return ended is None or frontier is None or ended // SLICE_NS >= frontier


def _refresh(state: State, name: str) -> None:
    """Renews a kept verdict, which is as of its last change; a change is left to the next tick,
    which announces it."""
    kept, watermark = state.verdicts.get(name), state.watermark_ns
    if kept is not None and watermark is not None:
        verdict = judge(state.evidence[name], as_of_ns=watermark)
        if (kept.verdict, kept.action) == (verdict.verdict, verdict.action):
            state.verdicts[name] = verdict


@dataclass(slots=True)
class _News:
    """A release's changed verdict, and its alerts."""

    verdicts: list[Verdict] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)


def _announce(
    state: State,
    name: str,
    complete: bool,
    policy: Policy,
) -> _News:
    """Judges one release as of now: a change of its verdict, and what people must be told."""
    evidence, memory, news = state.evidence[name], state.memory, _News()
    if memory.stream_ns is None or (state.watermark_ns is None and not complete):
        return news
    as_of, ended = memory.stream_ns if complete else state.watermark_ns or 0, None
    if not _live(evidence.deployment, state):
        ended = evidence.deployment.ended_ns or 0
        as_of = min(as_of, (ended // SLICE_NS + 1) * SLICE_NS)  # however late the tick
    verdict = judge(evidence, as_of_ns=as_of, complete=complete)
    known = state.verdicts.get(name)
    state.verdicts[name] = verdict
    same = known is not None and (known.verdict, known.action) == (verdict.verdict, verdict.action)
    if not same or ended is not None:  # the last one is kept as well
        news.verdicts.append(verdict)
    if verdict.verdict == "degraded" and name not in memory.firing:
        memory.firing.add(name)
        news.alerts.append(firing(verdict, policy))
    if ended is None:
        return news
    memory.done.add(name)
    if name in memory.firing and name not in memory.resolved:
        memory.resolved.add(name)
        rolled_back = evidence.deployment.rolled_back
        news.alerts.append(resolved(verdict, policy, at=rfc3339(ended), rolled_back=rolled_back))
    return news


def _retire(state: State) -> None:
    """Forgets the evidence of releases that ended, but for the latest few."""
    ended = [name for name, e in state.evidence.items() if not _live(e.deployment, state)]
    for name in ended[:-_ENDED_KEPT]:
        state.comparisons.names.forget(state.evidence.pop(name).whose)
    kept = state.evidence.values()
    rows = np.sort([one.row for evidence in kept for one in evidence.comparisons.values()])
    if len(state.comparisons) > 2 * len(rows) + _ROWS_FREE:
        new = state.comparisons.keep(rows.astype(np.int64))
        for evidence in kept:
            evidence.renumber(new)

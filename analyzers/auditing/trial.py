"""Placebos watched to their ends: what the engine said of releases that changed nothing, or that
did a known harm.

The very path of a real release: facts fold into cells, questions are settled, cells advance the
evidence of a deployment whose start a marker tells. Placebos are watched together, as releases
are: each in an environment of its own, all their comparisons rows of one table. What becomes of
one does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analyzers.auditing.injury import injured
from analyzers.auditing.peeking import Simple, simple_rules
from analyzers.auditing.placebo import Placebo, Recorded, split
from analyzers.auditing.watched import Watched
from analyzers.comparing.arms import shown_before
from analyzers.comparing.comparisons import Comparisons
from analyzers.facts import NEVER, NS_PER_S, SLICE_NS, SLICE_S, Ints, Marker
from analyzers.folding.answers import heard, settle
from analyzers.folding.cells import Cells, fold, merge
from analyzers.folding.series import SeriesTable, coded
from analyzers.judging.evidence import EXPECTED_DAYS, advance
from analyzers.policy import Metric, Policy
from analyzers.timeline import STARTED, Deployment, timeline

_HISTORY_NS = EXPECTED_DAYS * 24 * 3600 * NS_PER_S
# Neither occurs among the facts of a split: tracks alone say who is on which side.
_NEW, _OLD = "placebo", "recorded"
# Placebos are watched together up to so many cells and buckets: what bounds the memory.
TOGETHER: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """A placebo to be watched, with ``harm`` done to that metric of its canary. ``simple`` has
    simpler rules look too."""

    placebo: Placebo
    harm: Metric | None = None
    simple: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """What one metric's total came to: whether its e-value alone ever crossed 1 / error rate, and
    if so after how many seconds and events of both sides (as of the look that saw it)."""

    metric: str
    indicative: bool
    found: bool
    seconds: int
    events: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one placebo. ``rolled_back`` and ``promoted``: whether the policy's own rule
    ever said so, ``seconds`` when it first said that it must be rolled back; ``metrics`` are those
    of which anything came."""

    placebo: Placebo
    rolled_back: bool
    promoted: bool
    seconds: int
    events: int
    metrics: tuple[Tried, ...]
    simple: tuple[Simple, ...] = ()


def tried(
    told: Recorded,
    cases: Sequence[Case],
    policy: Policy,
    *,
    looks: int,
    together: int = TOGETHER,
) -> Iterator[Trial]:
    """What becomes of each case, in their order. ``looks`` are how often metrics are looked at one
    by one (the deployment as a whole is followed slice by slice); as many are watched together as
    have ``together`` cells and buckets, at least one."""
    waiting: list[_Watch] = []
    held = 0
    for case in cases:
        watch = _prepared(told, case, policy, looks)
        size = len(watch.cells) + len(watch.cells.bin)
        if waiting and held + size > together:
            yield from _watched(waiting, policy)
            waiting, held = [], 0
        waiting.append(watch)
        held += size
    yield from _watched(waiting, policy)


@dataclass(frozen=True, slots=True)
class _Watch:
    """A case ready to be watched: the ``cells`` from its start on, what the baseline had shown
    before, the slices before which each look happens, and what simpler rules say. ``times_ns`` are
    those of its events since the start."""

    placebo: Placebo
    deployment: Deployment
    cells: Cells
    expected: Mapping[str, int]
    edges: Ints
    times_ns: Ints
    simple: tuple[Simple, ...]


def _prepared(told: Recorded, case: Case, policy: Policy, looks: int) -> _Watch:
    placebo = case.placebo
    near = told.between(placebo.started_ns - _HISTORY_NS, placebo.until_ns)
    sides = split(near, placebo)
    mine = sides.recorded if case.harm is None else injured(sides, case.harm, placebo.salt)
    cells = _cells(mine, policy, placebo.until_ns)
    deployment = _deployment(near, placebo)
    start, edges = placebo.started_ns // SLICE_NS, _edges(placebo, looks)
    history, rest = cells.split(start)
    times_ns = mine.facts.time_ns
    return _Watch(
        placebo,
        deployment,
        rest,
        shown_before(deployment, _OLD, [history], EXPECTED_DAYS),
        edges,
        times_ns[times_ns >= placebo.started_ns],
        simple_rules(rest, edges, policy, share=placebo.share, since=start) if case.simple else (),
    )


def _watched(watches: Sequence[_Watch], policy: Policy) -> Iterator[Trial]:
    """What becomes of placebos that are watched together."""
    table = Comparisons()
    judged: list[Watched] = []
    cells: list[Cells] = []
    for number, watch in enumerate(watches):
        environment = f"{number:09}"  # in the order of the cells, which so need no sorting
        deployment = replace(watch.deployment, environment=environment)
        judged.append(Watched(deployment, _OLD, policy, watch.expected, table=table))
        cells.append(_placed(watch.cells, environment))
    advance(judged, table, merge(cells))
    return map(_trial, watches, judged)


def _placed(cells: Cells, environment: str) -> Cells:
    """The cells of one environment as those of another."""
    series = coded(cells.series)
    words = ((environment,) * len(series.words[0]), *series.words[1:])
    return replace(cells, series=SeriesTable(series.codes, words))


def _trial(watch: _Watch, evidence: Watched) -> Trial:
    at, start = evidence.degraded_at, watch.placebo.started_ns // SLICE_NS
    until_ns = 0 if at is None else (at + 1) * SLICE_NS
    return Trial(
        watch.placebo,
        rolled_back=at is not None,
        promoted=evidence.promoted,
        seconds=0 if at is None else (at + 1 - start) * SLICE_S,
        events=int((watch.times_ns < until_ns).sum()),
        metrics=tuple(
            _tried(watch, evidence, metric)
            for metric, segment in sorted(evidence.comparisons)
            if not segment and evidence.comparisons[metric, segment].shown
        ),
        simple=watch.simple,
    )


def _tried(watch: _Watch, evidence: Watched, metric: str) -> Tried:
    """What a metric's total came to, as of the first look after it crossed."""
    key = (metric, ())
    indicative, crossed = evidence.comparisons[key].indicative, evidence.crossed(key)
    if crossed == NEVER:
        return Tried(metric, indicative, found=False, seconds=0, events=0)
    look = int(watch.edges[np.searchsorted(watch.edges, crossed, side="right")])
    seconds = (look - watch.placebo.started_ns // SLICE_NS) * SLICE_S
    return Tried(metric, indicative, found=True, seconds=seconds, events=evidence.seen(key, look))


def _cells(told: Recorded, policy: Policy, until_ns: int) -> Cells:
    """All cells of some facts, with every question settled that fell due by ``until_ns``."""
    waiting = heard(told.facts, policy)
    until_ns = until_ns // SLICE_NS * SLICE_NS - 1
    due = settle(waiting, policy, old=0, since_ns=0, until_ns=until_ns, open_from=0)
    return merge([fold(told.facts, told.rejects, policy, open_from=0), due])


def _edges(placebo: Placebo, looks: int) -> Ints:
    """The slices before which each look happens, the last one after everything."""
    first, last = placebo.started_ns // SLICE_NS, placebo.until_ns // SLICE_NS + 1
    return np.unique(np.linspace(first, last, looks + 1).astype(np.int64)[1:])


def _deployment(told: Recorded, placebo: Placebo) -> Deployment:
    """The deployment that a marker starts for a placebo."""
    facts = told.facts
    marker = Marker(
        id=_NEW,
        time_ns=placebo.started_ns,
        type=STARTED,
        deployment=_NEW,
        service=facts.service.words[int(facts.service.codes[0])],
        environment=facts.environment.words[int(facts.environment.codes[0])],
        version=_NEW,
        replaces=_OLD,
        share=placebo.share,
    )
    return timeline([marker]).deployments[0]

"""Known harm done to the pseudo canary of a placebo, so that what is found can be counted.

One metric is made worse by a known multiple of its margin; facts are columns, and which of them
are touched is drawn by a keyed hash, never at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analyzers.auditing.placebo import CANARY, Recorded, Sides, digest, draws
from analyzers.facts import OK, Bools, Column, Reject, Words, concat
from analyzers.folding.cells import fed_by
from analyzers.policy import Measure, Metric

HARM_MARGINS: Final = 2.0  # the injected harm, in margins
INJURED: Final = "placebo"  # the outcome, or the reason, of what was made to fail
_COPY: Final = np.array([0x5DEECE66D, 0x2545F4914F6CDD1D], np.uint64)
_REJECTS_MAX: Final = 20_000


def can_injure(metric: Metric) -> bool:
    """Whether there is a way to make a metric worse by a known amount."""
    if metric.measure is Measure.EVENTS:
        return metric.margin.relative
    return metric.measure not in (Measure.FLOW, Measure.ASSIGNMENT)


@dataclass(frozen=True, slots=True)
class _Case:
    """The harm to be done: ``mine`` are the canary's facts that feed the metric."""

    told: Recorded
    canary: Bools
    mine: Bools
    metric: Metric
    salt: int

    @property
    def size(self) -> float:
        """The harm as the margin is given."""
        return HARM_MARGINS * self.metric.margin.size

    def hit(self, units: Words, chance: float) -> Bools:
        """Which units are touched, each with a chance."""
        return np.asarray(draws(units, self.salt, digest(self.metric.name)) < chance)

    def chance(self, good: float) -> float:
        """With which chance something good of a proportion must fail, ``good`` of it being so."""
        if good <= 0.0:
            return 0.0
        drop = self.size
        if self.metric.margin.relative:
            drop *= good if self.metric.worse == "lower" else 1.0 - good
        return min(drop / good, 1.0)


def injured(sides: Sides, metric: Metric, salt: int) -> Recorded:
    """The facts with the canary's metric worse by ``HARM_MARGINS`` margins: outcomes fail, values
    are scaled, answers never come, events are missing (or doubled, where more is worse), lines
    cannot be read. Without an event of the metric in the canary nothing is changed."""
    told = sides.recorded
    way = _WAYS.get(metric.measure)
    mine = sides.canary & fed_by(metric, told.facts)
    if way is None or not can_injure(metric) or not mine.any():
        return told
    return way(_Case(told, sides.canary, mine, metric, salt))


def _failing(case: _Case) -> Recorded:
    facts = case.told.facts
    ok = case.mine & facts.outcome.equals(OK)
    chance = case.chance(float(ok.sum()) / float(case.mine.sum()))
    hit = ok & case.hit(case.told.key, chance)
    words = (*facts.outcome.words, INJURED)
    codes = np.where(hit, len(words) - 1, facts.outcome.codes)
    return replace(case.told, facts=replace(facts, outcome=Column(codes, words)))


def _scaled(case: _Case) -> Recorded:
    size = case.size if case.metric.worse == "higher" else -case.size
    value = case.told.facts.value
    worse = value * max(1.0 + size, 0.0) if case.metric.margin.relative else value + size
    facts = replace(case.told.facts, value=np.where(case.mine, worse, value))
    return replace(case.told, facts=facts)


def _unanswered(case: _Case) -> Recorded:
    told, facts = case.told, case.told.facts
    asked = float((case.mine & facts.outcome.equals(OK)).sum())
    answers = case.canary & facts.type.equals(case.metric.answered_by) & (told.ref != 0)
    chance = case.chance(min(float(answers.sum()) / asked, 1.0)) if asked else 0.0
    return told.take(~(answers & case.hit(told.ref, chance)))


def _fewer_or_more(case: _Case) -> Recorded:
    told = case.told
    hit = case.mine & case.hit(told.key, case.size)
    if case.metric.worse == "higher":
        return _doubled(told, hit)
    # What answers an event that never was goes with it.
    return told.take(~(hit | ((told.ref != 0) & np.isin(told.ref, told.key[hit]))))


def _doubled(told: Recorded, twice: Bools) -> Recorded:
    again = told.take(twice)
    facts = replace(again.facts, key=again.facts.key ^ _COPY)
    return Recorded(
        concat([told.facts, facts]),
        np.concatenate([told.unit, again.unit]),
        np.concatenate([told.root_ns, again.root_ns]),
        np.concatenate([told.key, again.key]),
        np.concatenate([told.ref, again.ref]),
        told.rejects,
    )


def _unreadable(case: _Case) -> Recorded:
    """With some events in the form of rejects that say whose they are; a bounded number."""
    told = case.told
    rows = np.flatnonzero(case.mine & case.hit(told.key, case.chance(1.0)))[:_REJECTS_MAX]
    lost = told.facts.take(rows)
    made = tuple(
        Reject(
            index=0, reason=INJURED, detail="", time_ns=time_ns, environment=environment,
            service=service, track=CANARY,
        )
        for time_ns, environment, service in zip(
            lost.time_ns.tolist(), lost.environment.strings(), lost.service.strings(), strict=True
        )
    )  # fmt: skip
    rest = np.ones(len(told), np.bool_)
    rest[rows] = False
    return replace(told.take(rest), rejects=(*told.rejects, *made))


_WAYS: Final[dict[Measure, Callable[[_Case], Recorded]]] = {
    Measure.OUTCOME: _failing,
    Measure.VALUE: _scaled,
    Measure.ANSWER: _unanswered,
    Measure.EVENTS: _fewer_or_more,
    Measure.VALIDITY: _unreadable,
}

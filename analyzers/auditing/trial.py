"""One placebo watched to its end: what the engine said of a release that changed nothing, or of
one that did a known harm.

The very path of a real release: facts fold into cells, questions are settled, cells advance the
evidence of a deployment whose start a marker tells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analyzers.auditing.injury import injured
from analyzers.auditing.peeking import Simple, simple_rules
from analyzers.auditing.placebo import Placebo, Recorded, split
from analyzers.comparing.arms import shown_before
from analyzers.facts import NS_PER_S, SLICE_NS, SLICE_S, Ints, Marker
from analyzers.folding.answers import heard, settle
from analyzers.folding.cells import Cells, fold, merge
from analyzers.judging.evidence import EXPECTED_DAYS, Evidence
from analyzers.policy import Metric, Policy
from analyzers.timeline import STARTED, Deployment, timeline

_HISTORY_NS = EXPECTED_DAYS * 24 * 3600 * NS_PER_S
# Neither occurs among the facts of a split: tracks alone say who is on which side.
_NEW, _OLD = "placebo", "recorded"


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
    ever said so, ``seconds`` when it first said that it must be rolled back."""

    placebo: Placebo
    rolled_back: bool
    promoted: bool
    seconds: int
    events: int
    metrics: tuple[Tried, ...]
    simple: tuple[Simple, ...] = ()


def tried(
    told: Recorded,
    placebo: Placebo,
    policy: Policy,
    *,
    looks: int,
    harm: Metric | None = None,
    simple: bool = False,
) -> Trial:
    """Watches one placebo, with ``harm`` done to that metric of its canary; ``looks`` are how often
    metrics are looked at one by one (the deployment as a whole is followed slice by slice).
    ``simple`` has simpler rules look too."""
    near = told.between(placebo.started_ns - _HISTORY_NS, placebo.until_ns)
    sides = split(near, placebo)
    mine = sides.recorded if harm is None else injured(sides, harm, placebo.salt)
    cells = _cells(mine, policy, placebo.until_ns)
    deployment = _deployment(near, placebo)
    start, edges = placebo.started_ns // SLICE_NS, _edges(placebo, looks)
    history, rest = cells.split(start)
    expected = shown_before(deployment, _OLD, [history], EXPECTED_DAYS)
    evidence = Evidence(deployment, _OLD, policy, expected)
    evidence.advance(history)
    first: dict[str, tuple[int, int]] = {}
    for edge in edges.tolist():
        block, rest = rest.split(edge)
        if not len(block):
            continue
        evidence.advance(block)
        _look(evidence, first, (edge - start) * SLICE_S)
    at = evidence.degraded_at
    return Trial(
        placebo,
        rolled_back=at is not None,
        promoted=any(change.status == "healthy" for change in evidence.changes),
        seconds=0 if at is None else (at + 1 - start) * SLICE_S,
        events=_until(mine, placebo, at),
        metrics=tuple(
            Tried(key[0], one.indicative, key[0] in first, *first.get(key[0], (0, 0)))
            for key, one in sorted(evidence.comparisons.items())
            if not key[1]
        ),
        simple=(
            simple_rules(cells, edges, policy, share=placebo.share, since=start) if simple else ()
        ),
    )


def _look(evidence: Evidence, first: dict[str, tuple[int, int]], seconds: int) -> None:
    """Notes which totals have crossed 1 / error rate by now, and with how many events."""
    level = -math.log(evidence.policy.error_rate)
    for key, one in evidence.comparisons.items():
        if not key[1] and key[0] not in first and one.log_harm_max >= level:
            first[key[0]] = (seconds, int(one.seen.sum()))


def _until(told: Recorded, placebo: Placebo, at: int | None) -> int:
    """How many events of both sides had come when a slice ended."""
    if at is None:
        return 0
    inside = told.facts.time_ns >= placebo.started_ns
    return int((inside & (told.facts.time_ns < (at + 1) * SLICE_NS)).sum())


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

"""Answers that come, and answers that never come.

A submission asks for a confirmation, a document for an acknowledgement: the answer names what it
answers by ``ref``. Whether it came in time is known for certain only when the deadline is over,
and both outcomes are told then: telling early answers first would flatter the faster arm. So an
observation happens at its due time, and belongs to the side that asked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np

from analyzers.facts import NS_PER_S, OK, Bools, Facts, Ints, Words, concat, no_facts, pruned
from analyzers.folding.cells import Cells, fed_by, merge, tally
from analyzers.policy import Measure, Metric, Policy

# Answers are remembered for this long beyond the deadline, for questions that arrive after them.
# At half a day a nightly upload that brings answers before questions would count as unanswered.
PATIENCE_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Waiting:
    """Questions not yet due and answers not yet forgotten.

    ``asked`` are the facts that asked; ``answer`` uint64 (m, 2) are the keys that answers
    referred to, each marked with the type of the answer (see ``_marked``), and ``answer_ns`` int64
    (m,) when they came.
    """

    asked: Facts
    answer: Words
    answer_ns: Ints

    def __len__(self) -> int:
        return len(self.asked) + len(self.answer)


def nothing_waiting() -> Waiting:
    """No question, no answer."""
    return Waiting(no_facts(), np.empty((0, 2), np.uint64), np.empty(0, np.int64))


def join(parts: list[Waiting]) -> Waiting:
    """All questions and answers of the parts."""
    if not parts:
        return nothing_waiting()
    return Waiting(
        concat([part.asked for part in parts]),
        np.concatenate([part.answer for part in parts]),
        np.concatenate([part.answer_ns for part in parts]),
    )


def heard(facts: Facts, policy: Policy) -> Waiting:
    """The questions and answers among new facts."""
    metrics = _answer_metrics(policy)
    if not metrics or not len(facts):
        return nothing_waiting()
    ok = facts.outcome.equals(OK)
    asked = np.zeros(len(facts), np.bool_)
    for metric in metrics:
        asked |= _asks(metric, facts)
    keys, times = [np.empty((0, 2), np.uint64)], [np.empty(0, np.int64)]
    for name in sorted({metric.answered_by for metric in metrics}):
        answers = ok & facts.type.equals(name) & facts.ref.any(axis=1)
        keys.append(_marked(facts.ref[answers], name))
        times.append(facts.time_ns[answers])
    # Made-up words would otherwise stay for as long as any question waits.
    return Waiting(pruned(facts.take(asked)), np.concatenate(keys), np.concatenate(times))


def _marked(keys: Words, name: str) -> Words:
    """The keys changed by the name of a type: an acknowledgement does not answer a question that
    waits for a confirmation, though both refer to it."""
    mark = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return keys ^ np.array([int.from_bytes(mark, "little"), 0], np.uint64)


def settle(
    waiting: Waiting, policy: Policy, *, old: int, since_ns: int, until_ns: int, open_from: int
) -> Cells:
    """The cells of all questions that fell due after ``since_ns`` and by ``until_ns``.

    The first ``old`` questions were there at the last settling; the others are new, and count
    even if they were due before it.
    """
    parts: list[Cells] = []
    answers: tuple[Words, Ints] | None = None  # sorted once, and only if something is due
    for metric in _answer_metrics(policy):
        due = waiting.asked.time_ns + metric.deadline_s * NS_PER_S
        unsettled = due > since_ns
        unsettled[old:] = True
        rows = np.flatnonzero(unsettled & (due <= until_ns) & _asks(metric, waiting.asked))
        if not len(rows):
            continue
        facts = waiting.asked.take(rows)
        told = Facts(due[rows], *(getattr(facts, name) for name in Facts.__slots__[1:]))
        answers = answers or _first_answers(waiting)
        answered_ns = _answered_ns(_marked(facts.key, metric.answered_by), *answers)
        parts += tally(metric, told, answered_ns > due[rows], open_from=open_from)
    return merge(parts)


def forget(waiting: Waiting, policy: Policy, *, until_ns: int) -> Waiting:
    """What must still be remembered once everything due by ``until_ns`` has been settled."""
    longest = max((metric.deadline_s for metric in _answer_metrics(policy)), default=0)
    asked = waiting.asked.time_ns + longest * NS_PER_S > until_ns
    answers = waiting.answer_ns + (longest + PATIENCE_S) * NS_PER_S > until_ns
    if asked.all() and answers.all():
        return waiting
    left = waiting.asked if asked.all() else pruned(waiting.asked.take(asked))
    return Waiting(left, waiting.answer[answers], waiting.answer_ns[answers])


def _answer_metrics(policy: Policy) -> list[Metric]:
    return [metric for metric in policy.metrics if metric.measure is Measure.ANSWER]


def _asks(metric: Metric, facts: Facts) -> Bools:
    return fed_by(metric, facts) & facts.outcome.equals(OK)


def _first_answers(waiting: Waiting) -> tuple[Words, Ints]:
    """The distinct keys that answers referred to, sorted, and when the first answer came."""
    order = np.lexsort((waiting.answer_ns, waiting.answer[:, 1], waiting.answer[:, 0]))
    keys, times = waiting.answer[order], waiting.answer_ns[order]
    first = np.ones(len(keys), np.bool_)
    first[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    return keys[first], times[first]


def _answered_ns(asked: Words, keys: Words, times: Ints) -> Ints:
    """When each question was first answered; the largest integer where it was not."""
    never = np.full(len(asked), np.iinfo(np.int64).max)
    if not len(keys):
        return never
    # Sorted by the first word; a second key with the same 64 bits would have to be one in 2**64.
    place = np.minimum(np.searchsorted(keys[:, 0], asked[:, 0]), len(keys) - 1)
    met = (keys[place] == asked).all(axis=1)
    return np.where(met, times[place], never)

"""Questions and answers: in time, too late, never, early, and in any order of arrival."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pytest

from analyzers.facts import SLICE_NS, Facts, concat, no_facts
from analyzers.folding.answers import (
    PATIENCE_S,
    Waiting,
    forget,
    heard,
    join,
    nothing_waiting,
    settle,
)
from analyzers.folding.cells import Cells, merge
from analyzers.policy import Policy
from tests.facts_of import BEGIN_SLICE, NEW, answered, at_ns, facts_of, policy_of, success

DEADLINE_S = 60
POLICY = policy_of(answered(DEADLINE_S))


def questions(times_s: list[float], ids: list[int], *, outcome: str = "ok") -> Facts:
    return facts_of(times_s, ids=ids, version=NEW, outcome=outcome)


def replies(times_s: list[float], refs: list[int], *, outcome: str = "ok") -> Facts:
    return facts_of(
        times_s,
        types="order.confirmed",
        ids=[1000 + ref for ref in refs],
        refs=refs,
        version="another",
        outcome=outcome,
    )


@dataclass
class Desk:
    """Takes in facts turn by turn and settles what falls due, as a turn does."""

    policy: Policy = POLICY
    waiting: Waiting = field(default_factory=nothing_waiting)
    settled_ns: int = 0
    open_from: int = 0
    cells: list[Cells] = field(default_factory=list)

    def take(self, facts: Facts, *, until_s: float) -> None:
        """One turn that closes every slice before ``until_s``."""
        old = len(self.waiting.asked)
        self.waiting = join([self.waiting, heard(facts, self.policy)])
        closes = at_ns(until_s) // SLICE_NS
        until_ns = closes * SLICE_NS - 1
        self.cells.append(
            settle(
                self.waiting, self.policy, old=old, since_ns=self.settled_ns, until_ns=until_ns,
                open_from=self.open_from,
            )
        )  # fmt: skip
        self.waiting = forget(self.waiting, self.policy, until_ns=until_ns)
        self.settled_ns, self.open_from = until_ns, closes

    def told(self) -> tuple[int, int]:
        """Answered or not, and not answered, so far."""
        cells = merge(self.cells)
        return int(cells.count.sum()), int(cells.failures.sum())


def outcome_of(answer_s: float | None) -> tuple[int, int]:
    """What a question at 0 s counts as, answered at ``answer_s``."""
    desk = Desk()
    facts = [questions([0.0], [1])]
    if answer_s is not None:
        facts.append(replies([answer_s], [1]))
    desk.take(concat(facts), until_s=1_000.0)
    return desk.told()


@pytest.mark.parametrize(
    ("answer_s", "failed"),
    [(5.0, 0), (60.0, 0), (60.000001, 1), (500.0, 1), (None, 1), (-30.0, 0), (0.0, 0)],
)
def test_an_answer_counts_up_to_the_deadline_and_not_a_microsecond_later(
    answer_s: float | None, failed: int
) -> None:
    assert outcome_of(answer_s) == (1, failed)


def test_nothing_is_told_before_the_deadline_even_if_the_answer_is_there() -> None:
    desk = Desk()
    desk.take(concat([questions([0.0], [1]), replies([1.0], [1])]), until_s=60.0)
    assert desk.told() == (0, 0)
    desk.take(no_facts(), until_s=70.0)
    assert desk.told() == (1, 0)
    desk.take(no_facts(), until_s=900.0)
    assert desk.told() == (1, 0)


def test_an_outcome_happens_at_its_due_time_and_belongs_to_the_side_that_asked() -> None:
    desk = Desk()
    desk.take(concat([questions([5.0], [1]), replies([6.0], [1])]), until_s=1_000.0)
    cells = merge(desk.cells)
    assert cells.slice.tolist() == cells.shown.tolist() == [BEGIN_SLICE + 6]
    assert [series.version for series in cells.series] == [NEW]


@pytest.mark.parametrize("order", [("asked", "answer"), ("answer", "asked")])
def test_question_and_answer_may_come_in_different_turns_in_either_order(
    order: tuple[str, str],
) -> None:
    facts = {"asked": questions([0.0], [1]), "answer": replies([20.0], [1])}
    desk = Desk()
    for name in order:
        desk.take(facts[name], until_s=30.0)
    desk.take(no_facts(), until_s=100.0)
    assert desk.told() == (1, 0)


def test_a_question_that_comes_after_its_deadline_still_finds_its_answer() -> None:
    desk = Desk()
    desk.take(replies([20.0], [1]), until_s=600.0)
    desk.take(questions([0.0], [1]), until_s=610.0)
    cells = merge(desk.cells)
    assert desk.told() == (1, 0)
    assert cells.slice.tolist() == [BEGIN_SLICE + 6]
    assert cells.shown.tolist() == [BEGIN_SLICE + 60]


def test_an_answer_that_comes_after_the_deadline_was_settled_changes_nothing() -> None:
    desk = Desk()
    desk.take(questions([0.0], [1]), until_s=80.0)
    assert desk.told() == (1, 1)
    desk.take(replies([20.0], [1]), until_s=90.0)
    assert desk.told() == (1, 1)


def test_only_accepted_questions_wait_and_only_good_answers_answer() -> None:
    desk = Desk()
    desk.take(
        concat(
            [
                questions([0.0], [1], outcome="rejected"),
                questions([0.0], [2]),
                replies([5.0], [2], outcome="failed"),
                replies([5.0], [0]),
            ]
        ),
        until_s=1_000.0,
    )
    assert desk.told() == (1, 1)


def test_the_first_of_several_answers_counts() -> None:
    desk = Desk()
    desk.take(concat([questions([0.0], [1]), replies([90.0, 30.0, 70.0], [1, 1, 1])]), until_s=200)
    assert desk.told() == (1, 0)


def test_an_answer_of_another_type_answers_nothing() -> None:
    desk = Desk()
    other = facts_of([5.0], types="edi.acknowledged", ids=[7], refs=[1])
    desk.take(concat([questions([0.0], [1]), other]), until_s=200.0)
    assert desk.told() == (1, 1)


def test_each_metric_has_its_own_deadline_and_its_own_kind_of_answer() -> None:
    slow = replace(answered(600, answered_by="shipment.confirmed"), name="shipped")
    desk = Desk(policy_of(answered(DEADLINE_S), slow, success()))
    desk.take(concat([questions([0.0], [1]), replies([5.0], [1])]), until_s=10_000.0)
    cells = merge(desk.cells)
    told = {
        cells.series[of].metric: (slice_ - BEGIN_SLICE, failed)
        for of, slice_, failed in zip(
            cells.of.tolist(), cells.slice.tolist(), cells.failures.tolist(), strict=True
        )
    }
    assert told == {"answered": (6, 0), "shipped": (60, 1)}


def test_what_can_no_longer_matter_is_forgotten() -> None:
    desk = Desk()
    desk.take(concat([questions([0.0], [1]), replies([5.0], [1])]), until_s=60.0)
    assert (len(desk.waiting.asked), len(desk.waiting.answer)) == (1, 1)
    desk.take(no_facts(), until_s=70.0)
    assert (len(desk.waiting.asked), len(desk.waiting.answer)) == (0, 1)
    desk.take(no_facts(), until_s=PATIENCE_S + 80.0)
    assert len(desk.waiting) == 0


def test_a_policy_without_answers_remembers_nothing() -> None:
    facts = concat([questions([0.0], [1]), replies([5.0], [1])])
    assert len(heard(facts, policy_of(success()))) == 0
    assert len(heard(no_facts(), POLICY)) == 0
    assert len(join([])) == 0


def test_any_split_into_turns_gives_the_same_cells_once_all_is_settled() -> None:
    chance = np.random.default_rng(5)
    n = 400
    asked_s = np.sort(chance.uniform(0, 1_000, n))
    answers = chance.random(n) < 0.8
    took_s = chance.exponential(40.0, n)
    facts = concat(
        [
            questions(asked_s.tolist(), list(range(1, n + 1))),
            replies((asked_s + took_s)[answers].tolist(), (np.flatnonzero(answers) + 1).tolist()),
        ]
    )
    whole = Desk()
    whole.take(facts, until_s=2_000.0)
    expected = merge(whole.cells)
    assert whole.told() == (n, int((~answers | (took_s > DEADLINE_S)).sum()))
    for turns in (3, 40, 400):
        desk = Desk()
        cuts = np.linspace(0, 1_400, turns + 1)
        for start, stop in pairwise(cuts.tolist()):
            inside = (facts.time_ns >= at_ns(start)) & (facts.time_ns < at_ns(stop))
            desk.take(facts.take(inside), until_s=max(stop - 30.0, 10.0))  # within the lateness
        desk.take(no_facts(), until_s=2_000.0)
        assert merge(desk.cells).digest() == expected.digest()
        assert merge(desk.cells).shown.tolist() == expected.shown.tolist()


def test_words_that_no_waiting_question_has_are_forgotten() -> None:
    desk = Desk()
    for begin in range(0, 500, 100):
        facts = facts_of(
            np.linspace(begin, begin + 90, 100),
            types=["order.submitted", "something.else"] * 50,
            ids=np.arange(begin, begin + 100) + 1,
            attributes={"partner": [f"P{begin + n}" for n in range(100)]},
        )
        desk.take(facts, until_s=begin + 95)
        asked = desk.waiting.asked
        assert 0 < len(asked) < 100
        assert len(asked.attributes["partner"].words) == len(asked)
        assert asked.type.words == ("order.submitted",)


def test_the_subject_of_the_question_is_kept_until_it_is_due() -> None:
    desk = Desk()
    asked = replace(questions([1.0, 2.0, 3.0], [1, 2, 3]), subject=np.array([5, 69, 0], np.uint64))
    desk.take(asked, until_s=10.0)
    desk.take(replies([20.0], [1]), until_s=30.0)
    assert desk.waiting.asked.subject.tolist() == [5, 69, 0]
    desk.take(no_facts(), until_s=120.0)
    cells = merge(desk.cells)
    assert (cells.count.tolist(), cells.failures.tolist()) == ([3], [2])
    assert cells.bin.tolist() == [-6, 6]
    assert cells.bin_count.tolist() == [1, 1]

"""Placebos: who goes where, what is left out, and what known harm does to whom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyzers.auditing.injury import INJURED, can_injure, injured
from analyzers.auditing.placebo import EVENT, Placebo, Recorded, Sides, planned, recorded, split
from analyzers.facts import OK, Facts, Reject, concat
from analyzers.policy import Margin, Metric
from analyzers.timeline import timeline
from tests.facts_of import (
    NEW,
    OLD,
    answered,
    at_ns,
    duration,
    facts_of,
    finished,
    flow,
    rolled_back,
    started,
    success,
    throughput,
    validity,
)
from tests.order_facts import Orders, drawn

HOUR = 3_600
HALF = Placebo(salt=7, share=0.5, started_ns=at_ns(0), until_ns=at_ns(24 * HOUR))


def stream(facts: Facts, **changes: Any) -> Recorded:
    """The facts as one version's stream."""
    return recorded(facts, changes.pop("rejects", ()), (), watch_s=24 * HOUR, **changes)[0]


def orders(n: int = 4_000) -> Recorded:
    """Orders of one version, each confirmed after half a minute."""
    ids = np.arange(1, n + 1)
    submitted = facts_of(np.linspace(0, 12 * HOUR, n), ids=ids, version=OLD)
    confirmed = facts_of(
        np.linspace(0, 12 * HOUR, n) + 30, types="order.confirmed", ids=ids + n, refs=ids,
        value=30.0, version=OLD,
    )  # fmt: skip
    return stream(concat([submitted, confirmed]))


def sides(told: Recorded, placebo: Placebo = HALF) -> Sides:
    return split(told, placebo)


def test_a_share_of_all_units_goes_to_the_canary_and_each_salt_draws_anew() -> None:
    told = orders()
    half = sides(told).canary
    assert abs(half.mean() - 0.5) < 0.03
    assert abs(sides(told, replace(HALF, share=0.1)).canary.mean() - 0.1) < 0.02
    other = sides(told, replace(HALF, salt=8)).canary
    assert abs((half == other).mean() - 0.5) < 0.03
    assert (half == sides(told).canary).all()


def test_an_answer_is_on_the_side_of_its_question_even_when_that_was_not_recorded() -> None:
    told = orders()
    chosen = sides(told)
    side = dict(zip(told.key.tolist(), chosen.canary.tolist(), strict=True))
    answers = np.flatnonzero(told.ref)
    assert len(answers) == 4_000
    assert [side[ref] for ref in told.ref[answers].tolist()] == chosen.canary[answers].tolist()
    confirmed = told.facts.type.equals("order.confirmed")
    alone = sides(stream(told.facts.take(confirmed)))
    assert (alone.canary == chosen.canary[confirmed]).all()


def test_all_events_of_a_subject_are_on_one_side_unless_events_are_split() -> None:
    facts = facts_of(np.arange(4_000.0), version=OLD)
    facts = replace(facts, subject=np.arange(4_000, dtype=np.uint64) % 50 + 1)

    def mixed(told: Recorded) -> int:
        canary = sides(told).canary
        return sum(len(set(canary[told.facts.subject == s].tolist())) == 2 for s in range(1, 51))

    assert mixed(stream(facts)) == 0
    assert mixed(stream(facts, by=EVENT)) == 50


def test_an_attribute_may_be_what_is_split_by() -> None:
    names = [f"c{i % 40}" for i in range(2_000)]
    told = stream(
        facts_of(np.arange(2_000.0), version=OLD, attributes={"customer": names}), by="customer"
    )
    canary = sides(told).canary
    by_name = {name: set(canary[i::40].tolist()) for i, name in enumerate(names[:40])}
    assert all(len(found) == 1 for found in by_name.values())
    assert 8 <= sum(True in found for found in by_name.values()) <= 32


def test_before_the_start_all_is_baseline_and_so_are_answers_to_it() -> None:
    told = orders()
    chosen = sides(told, replace(HALF, started_ns=at_ns(6 * HOUR)))
    assert not chosen.canary[told.root_ns < at_ns(6 * HOUR)].any()
    late = (told.facts.time_ns >= at_ns(6 * HOUR)) & (told.root_ns < at_ns(6 * HOUR))
    assert late.any()
    assert not chosen.canary[late].any()


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (finished(2 * HOUR, outcome="ok"), {OLD, NEW}),
        (rolled_back(2 * HOUR), {OLD}),
        (finished(2 * HOUR, outcome="failed"), {OLD}),
    ],
)
def test_a_canary_is_left_out_while_it_runs_and_for_good_if_it_failed(
    end: Any, left: set[str]
) -> None:
    times = np.linspace(-HOUR, 4 * HOUR, 500)
    version = [NEW if t > 0 and i % 2 else OLD for i, t in enumerate(times)]
    facts = facts_of(times, version=version)
    told, out = recorded(facts, (), timeline([started(), end]).deployments, watch_s=24 * HOUR)
    assert set(told.facts.version.strings()) == left
    during = told.facts.time_ns <= at_ns(2 * HOUR)
    assert set(told.facts.take(during).version.strings()) == {OLD}
    assert [one.version for one in out] == [NEW]
    assert len(told) + out[0].events == 500


def test_answers_to_a_canary_are_left_out_with_their_questions() -> None:
    facts = drawn(Orders(), seed=1)
    told, _ = recorded(facts, (), timeline([started()]).deployments, watch_s=24 * HOUR)
    assert set(told.facts.version.strings()) == {OLD}
    asked = set(told.key.tolist())
    assert all(ref in asked for ref in told.ref[told.ref != 0].tolist())


def test_placebos_start_after_a_third_and_later_ones_while_a_watch_still_fits() -> None:
    end = at_ns(30 * 24 * HOUR)
    found = planned(at_ns(0), end, watch_s=24 * HOUR, splits=5, shares=(0.5, 0.1), seed=3)
    assert len(found) == 10
    assert len({one.salt for one in found}) == 10
    assert found[0].started_ns == at_ns(10 * 24 * HOUR)
    assert found[-1].started_ns == at_ns(29 * 24 * HOUR)
    assert all(one.until_ns <= end + 1 for one in found)
    short = planned(at_ns(0), at_ns(HOUR), watch_s=24 * HOUR, splits=5, shares=(0.5,), seed=3)
    assert {one.started_ns for one in short} == {at_ns(HOUR / 3)}


def hurt(metric: Metric, told: Recorded | None = None) -> tuple[Sides, Recorded]:
    chosen = sides(told or orders())
    return chosen, injured(chosen, metric, HALF.salt)


def test_outcomes_fail_by_twice_the_margin_and_only_in_the_canary() -> None:
    chosen, found = hurt(success())
    failed = found.facts.outcome.equals(INJURED)
    assert not failed[~chosen.canary].any()
    submitted = chosen.canary & found.facts.type.equals("order.submitted")
    assert abs(failed[submitted].mean() - 0.06) < 0.015
    assert not failed[chosen.canary & ~submitted].any()


def test_values_are_scaled_by_twice_the_margin() -> None:
    chosen, found = hurt(duration())
    confirmed = found.facts.type.equals("order.confirmed")
    assert found.facts.value[confirmed & chosen.canary] == pytest.approx(36.0)
    assert found.facts.value[confirmed & ~chosen.canary] == pytest.approx(30.0)
    absolute = replace(duration(), margin=Margin(5.0, relative=False), worse="lower")
    chosen, found = hurt(absolute)
    assert found.facts.value[confirmed & chosen.canary] == pytest.approx(20.0)


def test_answers_of_the_canary_never_come() -> None:
    chosen, found = hurt(answered())
    gone = len(chosen.recorded) - len(found)
    asked = int(chosen.canary.sum()) / 2
    assert abs(gone / asked - 0.06) < 0.015
    assert int(found.facts.type.equals("order.submitted").sum()) == 4_000


def test_missing_events_take_their_answers_along_and_doubled_ones_get_other_keys() -> None:
    chosen, found = hurt(throughput())
    submitted = int(found.facts.type.equals("order.submitted").sum())
    assert abs((4_000 - submitted) / (chosen.canary.sum() / 2) - 0.2) < 0.03
    assert int(found.facts.type.equals("order.confirmed").sum()) == submitted
    _, more = hurt(replace(throughput(), worse="higher"))
    assert len(more) > 8_000
    assert len(np.unique(more.facts.key, axis=0)) == len(more)


def test_unreadable_events_become_rejects_that_say_whose_they_are() -> None:
    refused = Reject(index=0, reason="x", detail="", time_ns=at_ns(9), service="order-api")
    told = stream(orders().facts, rejects=[refused])
    chosen, found = hurt(validity(), told)
    assert len(found) + len(found.rejects) == len(told) + 1
    assert {one.track for one in found.rejects[1:]} == {"canary"}
    assert chosen.recorded.rejects[0].track in ("canary", "baseline")


def test_without_an_event_of_the_metric_nothing_is_changed() -> None:
    told = stream(facts_of(np.arange(10.0), types="page.viewed", version=OLD))
    for metric in (success(), duration(), answered(), throughput()):
        _, found = hurt(metric, told)
        assert len(found) == 10
        assert set(found.facts.outcome.strings()) == {OK}
    assert not can_injure(flow())
    assert not can_injure(replace(throughput(), margin=Margin(5.0, relative=False)))

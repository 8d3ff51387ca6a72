"""What a threshold gate would say, beside our verdict and without any part in it."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from analyzers.facts import Facts, concat
from analyzers.judging.fixed_rule import fixed_rule
from analyzers.judging.verdict import FixedRuleVerdict, Reason
from analyzers.policy import FixedRule, Kind, Margin, Policy
from pipeline import render
from tests.daemon import Daemon, inboxes, lived
from tests.facts_of import (
    NEW,
    OLD,
    duration,
    facts_of,
    finished,
    flow,
    policy_of,
    started,
    success,
)
from tests.unit.released import reason, verdict

RULE = FixedRule(min_events=100)
POLICY = policy_of(success(), duration(), flow(), fixed_rule=RULE)
MARGIN = POLICY.metric("success").margin.size


def said(metric: str = "success", **told: Any) -> Reason:
    plain = {"effect": -MARGIN / 2, "n_baseline": 500, "n_canary": 100, "relative_effect": None}
    return reason(metric, **{**plain, **told})


def slow(relative: float, **told: Any) -> Reason:
    return said("duration", worse="higher", effect=9.0, relative_effect=relative, **told)


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ([said()], ("healthy", [])),
        ([said(effect=-MARGIN * 1.01)], ("degraded", ["success"])),
        ([said(effect=+MARGIN * 5)], ("healthy", [])),
        ([said(effect=-MARGIN)], ("healthy", [])),
        ([said(n_canary=99)], ("inconclusive", [])),
        ([said(n_baseline=99)], ("inconclusive", [])),
        ([said(effect=-0.9, n_canary=99)], ("inconclusive", [])),
        ([said(effect=None)], ("inconclusive", [])),
        ([], ("inconclusive", [])),
        ([said(effect=-0.9, gates=False), said()], ("healthy", [])),
        ([said(effect=-0.9, segment={"country": "DE"}), said()], ("healthy", [])),
        ([said(), slow(0.01, n_canary=3)], ("inconclusive", [])),
        ([said(effect=-0.9), slow(0.01, n_canary=3)], ("degraded", ["success"])),
        ([said(effect=-0.9), slow(0.9)], ("degraded", ["duration", "success"])),
        ([slow(-0.9)], ("healthy", [])),
    ],
)
def test_the_rule_knows_counts_estimates_and_margins_only(
    reasons: list[Reason], expected: tuple[str, list[str]]
) -> None:
    told = fixed_rule(reasons, POLICY)
    assert told is not None
    assert (told.verdict, told.metrics) == expected


def test_a_margin_is_held_against_the_estimate_in_its_own_terms() -> None:
    absolute = replace(duration(), margin=Margin(10.0, relative=False))
    policy = Policy(metrics=(absolute,), fixed_rule=RULE)
    assert absolute.kind is Kind.DURATION
    assert fixed_rule([slow(0.9)], policy) == FixedRuleVerdict("healthy", [])


def test_without_a_rule_in_the_policy_nothing_is_said() -> None:
    assert fixed_rule([said()], replace(POLICY, fixed_rule=None)) is None


# --- beside the verdict --------------------------------------------------------------------------


def orders(bad: float) -> Facts:
    """Orders of both arms over ten minutes; of the canary's, a share is rejected."""
    times, n = np.linspace(0.0, 599.0, 600), 600
    outcome = ["rejected" if i < bad * n else "ok" for i in np.random.default_rng(2).permutation(n)]
    return concat(
        [
            facts_of(times, version=OLD, ids=np.arange(n) + 10**6),
            facts_of(times, version=NEW, ids=np.arange(n) + 2 * 10**6, outcome=outcome),
        ]
    )


def live(policy: Policy, bad: float) -> Daemon:
    turns = inboxes(orders(bad), [started(), finished(590.0)], list(range(60, 600, 60)))
    daemon = lived(policy, turns)
    daemon.wait(900.0)
    return daemon


@pytest.mark.parametrize("bad", [0.0, 0.05, 0.3])
def test_the_rule_influences_no_verdict_no_action_and_no_alert(bad: float) -> None:
    plain = policy_of(success(), flow())
    ruled = replace(plain, fixed_rule=FixedRule(min_events=20))
    without, beside = live(plain, bad), live(ruled, bad)
    assert all(one.fixed_rule is not None for one in beside.verdicts)
    assert [
        msgspec.structs.replace(one, fixed_rule=None, policy="") for one in beside.verdicts
    ] == [msgspec.structs.replace(one, policy="") for one in without.verdicts]

    def told(daemon: Daemon) -> list[Any]:
        return [(a.status, a.summary, a.description, a.labels, a.at) for a in daemon.alerts]

    assert told(beside) == told(without)
    assert bool(told(beside)) == (bad == 0.3)


def test_the_rule_takes_an_estimate_for_harm_where_our_verdict_asks_for_evidence() -> None:
    beside = live(policy_of(success(), flow(), fixed_rule=FixedRule(20)), 0.05).verdict()
    assert beside.verdict != "degraded"
    assert beside.fixed_rule == FixedRuleVerdict("degraded", ["success"])


def shown(*told: Any) -> str:
    out = io.StringIO()
    console = Console(file=out, width=120, markup=False, emoji=False, highlight=False)
    for one in told:
        console.print(one)
    return out.getvalue()


def test_one_line_says_what_the_rule_would_say() -> None:
    ruled = verdict(fixed_rule=FixedRuleVerdict("degraded", ["order_submission_success"]))
    line = "a fixed rule would say: degraded (order_submission_success)"
    assert line in shown(render.verdict_text(ruled)).splitlines()
    assert line in shown(render.verdicts_table([ruled, verdict("other")])).splitlines()
    calm = verdict(fixed_rule=FixedRuleVerdict("healthy", []))
    assert "a fixed rule would say: healthy\n" in shown(render.verdict_text(calm))
    assert "fixed rule" not in shown(render.verdict_text(verdict()))

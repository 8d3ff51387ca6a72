"""The e-value that a release brings into the fleet report: as it stood at its end."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from analyzers.facts import Facts, concat
from analyzers.judging.fleet import fleet
from analyzers.judging.judge import judge
from analyzers.judging.verdict import Verdict
from analyzers.turn import Inbox
from tests.daemon import Daemon, inboxes, lived
from tests.facts_of import (
    NEW,
    OLD,
    at_ns,
    duration,
    facts_of,
    finished,
    flow,
    policy_of,
    rolled_back,
    started,
    success,
)

POLICY = policy_of(success(segments=(("country",),)), duration(), flow())
END_S = 590.0
CUTS = list(range(60, 900, 30))


def orders(*bad: float, until_s: float = 600.0, n: int = 1_200) -> Facts:
    """Orders of both arms; the canary's are rejected at shares that follow each other."""
    times, draw = np.linspace(0.0, until_s - 0.1, n), np.random.default_rng(5)
    part = np.minimum((np.arange(n) * len(bad)) // n, len(bad) - 1)
    lost = draw.random(n) < np.array(bad)[part]
    outcome = ["rejected" if one else "ok" for one in lost]
    seconds = draw.gamma(4.0, 1.0, 2 * n)
    attributes = {"country": ["DE", "FR", "IT"] * (n // 3)}
    return concat(
        [
            facts_of(times, version=OLD, ids=np.arange(n) + 10**6, value=seconds[:n],
                     attributes=attributes),
            facts_of(times, version=NEW, ids=np.arange(n) + 2 * 10**6, value=seconds[n:],
                     outcome=outcome, attributes=attributes),
        ]
    )  # fmt: skip


def live(facts: Facts, *markers: object, wait_s: float = 1_500.0) -> Daemon:
    told = [started(), finished(END_S), *markers]
    daemon = lived(POLICY, inboxes(facts, told, CUTS))  # type: ignore[arg-type]
    daemon.wait(wait_s)
    return daemon


def test_the_e_value_is_the_weighted_average_of_all_that_was_compared() -> None:
    policy = policy_of(success(segments=(("country",),)), duration())
    daemon = lived(policy, inboxes(orders(0.05), [started()], CUTS))
    evidence = daemon.state.evidence["d-1"]
    parts = [
        weight * math.exp(evidence.comparisons[key].log_harm)
        for key, weight in evidence.weights.items()
    ]
    expected = 1.0 - sum(evidence.weights.values()) + sum(parts)
    assert len(parts) == 4
    verdict = judge(evidence, as_of_ns=at_ns(870.0))
    assert verdict.e_value == pytest.approx(expected, rel=1e-9)


def test_a_release_without_any_evidence_stands_at_one() -> None:
    daemon = Daemon(POLICY)
    daemon.hear(started())
    daemon.wait(100.0)
    assert daemon.verdict().e_value == 1.0


def test_a_ring_which_is_not_judged_brings_no_evidence() -> None:
    daemon = lived(POLICY, inboxes(orders(0.4), [started(strategy="ring")], CUTS))
    daemon.wait(900.0)
    assert daemon.verdict().e_value == 1.0


def test_a_harmful_release_is_counted_and_a_sound_one_is_not() -> None:
    harmed, sound = live(orders(0.3)).verdict(), live(orders(0.0)).verdict()
    assert harmed.verdict == "degraded"
    assert harmed.e_value >= 1.0 / POLICY.error_rate
    assert sound.e_value < 2.0
    told = fleet([harmed, msgspec.structs.replace(sound, deployment="d-2")])
    assert [one.harmful for one in told.releases] == [True, False]


def test_the_e_value_is_that_of_the_end_and_never_the_largest_on_the_way() -> None:
    daemon = live(orders(0.12, 0.0, 0.0, 0.0))
    evidence = daemon.state.evidence["d-1"]
    largest = max(c.log_harm_max for c in evidence.comparisons.values())
    now = max(c.log_harm for c in evidence.comparisons.values())
    assert now < largest - 1.0
    assert daemon.verdict().e_value <= 1.0 + math.exp(now)


def test_what_comes_after_the_end_changes_nothing() -> None:
    facts = orders(0.1, until_s=1_200.0)
    with_rest = live(facts).verdict()
    before = live(facts.take(facts.time_ns < at_ns(600.0))).verdict()
    assert (with_rest.e_value, with_rest.ended_at) == (before.e_value, before.ended_at)


def test_a_release_has_ended_once_its_last_slice_is_judged() -> None:
    daemon = lived(POLICY, inboxes(orders(0.1), [started()], CUTS))
    daemon.wait(700.0)
    assert daemon.verdict().ended_at is None
    early = Daemon(POLICY)
    for inbox in inboxes(orders(0.1), [started(), rolled_back(END_S)], CUTS):
        early.take(inbox)
        if early.state.verdicts and (early.state.watermark_ns or 0) <= at_ns(END_S):
            assert early.verdict().ended_at is None
    early.wait(900.0)
    assert early.verdict().ended_at == "2026-05-21T00:09:50.000Z"


def test_a_restart_gives_the_same_e_value_and_end() -> None:
    def both(verdict: Verdict) -> tuple[float, str | None]:
        return verdict.e_value, verdict.ended_at

    daemon = live(orders(0.1))
    told = both(daemon.verdict())
    daemon.restart()
    assert both(daemon.verdict()) == told
    again = lived(POLICY, inboxes(orders(0.1), [started(), finished(END_S)], CUTS[:8]))
    again.restart()
    again.wait(1_500.0)
    assert both(again.verdict()) == told


def test_a_replay_whose_last_word_is_the_end_has_ended() -> None:
    facts = orders(0.1)
    inbox = Inbox(
        facts=facts.take(facts.time_ns < at_ns(END_S)),
        markers=(started(), finished(END_S)),
        complete=True,
    )
    daemon = lived(POLICY, [inbox])
    assert daemon.verdict().ended_at is not None

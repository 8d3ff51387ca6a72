"""``mode: observe``: the verdict is told, and nothing ever asks for an action."""

from __future__ import annotations

import io
from dataclasses import replace

import httpx
import msgspec
import numpy as np
import pytest
from rich.console import Console

from analyzers.facts import Facts, concat
from analyzers.judging.alert import firing
from analyzers.judging.verdict import ACTIONS, Verdict
from analyzers.policy import Policy, Service
from dashboards.api import verdicts
from dashboards.exposition import samples_of
from pipeline import gate, render
from pipeline.daemon_client import Daemon as Client
from pipeline.view import snapshot_of
from tests.daemon import Daemon, inboxes, lived
from tests.facts_of import NEW, OLD, facts_of, finished, flow, policy_of, started, success
from tests.unit.answering import answering
from tests.unit.released import Fixed, snapshot, undecided, verdict

ENFORCED = policy_of(
    success(),
    flow(),
    services={
        "order-api": Service("order-api", owner="team-a", rollback_criteria="roll back at once")
    },
)
OBSERVED = replace(ENFORCED, mode="observe")
CUTS = list(range(60, 600, 30))


def orders(bad: float) -> Facts:
    """Orders of both arms over ten minutes; of the canary's, a share is rejected."""
    times, n = np.linspace(0.0, 599.0, 1_200), 1_200
    outcome = ["rejected" if i < bad * n else "ok" for i in np.random.default_rng(2).permutation(n)]
    return concat(
        [
            facts_of(times, version=OLD, ids=np.arange(n) + 10**6),
            facts_of(times, version=NEW, ids=np.arange(n) + 2 * 10**6, outcome=outcome),
        ]
    )


def live(policy: Policy, bad: float) -> Daemon:
    daemon = lived(policy, inboxes(orders(bad), [started()], CUTS))
    daemon.wait(800.0)
    return daemon


HARMED, SOUND = live(OBSERVED, 0.4), live(OBSERVED, 0.0)


def test_verdicts_are_those_of_enforce_and_the_action_is_always_wait() -> None:
    for observed, bad in ((HARMED, 0.4), (SOUND, 0.0)):
        enforced = live(ENFORCED, bad)
        kinds = [one.verdict for one in enforced.verdicts]
        assert [one.verdict for one in observed.verdicts] == kinds
        assert {one.action for one in observed.verdicts} == {"wait"}
        assert {one.score for one in observed.verdicts} == {50}
        assert {one.mode for one in observed.verdicts} == {"observe"}
        assert enforced.verdict().action in ("rollback", "promote")
        assert enforced.verdict().mode == "enforce"


def test_the_action_is_wait_after_the_end_and_after_the_watch_too() -> None:
    over = lived(OBSERVED, inboxes(orders(0.4), [started(), finished(590.0)], CUTS))
    over.wait(900.0)
    assert (over.verdict().verdict, over.verdict().action) == ("degraded", "wait")
    assert over.verdict().ended_at is not None
    past = Daemon(replace(OBSERVED, watch_s=300))
    past.hear(started())
    past.wait(9_000.0)
    assert past.verdict().action == "wait"


def test_a_release_that_nothing_has_judged_yet_is_observed_too() -> None:
    daemon = Daemon(OBSERVED)
    daemon.hear(started())
    (release,) = snapshot_of(daemon.state, OBSERVED).releases.values()
    assert (release.verdict.mode, release.verdict.action) == ("observe", "wait")


def test_an_alert_says_what_is_harmed_and_asks_for_nothing() -> None:
    (alert,) = HARMED.alerts
    assert alert.summary == (
        "order-api 2.0.0 harms the business: observed only, no action is asked for"
    )
    assert alert.annotations["mode"] == "observe"
    assert alert.annotations["action"] == "wait"
    assert "every gate answers wait" in alert.description
    everything = msgspec.json.encode(alert).decode().lower()
    assert "rollback" not in everything
    assert "roll back" not in everything
    (asking,) = live(ENFORCED, 0.4).alerts
    assert asking.summary == "order-api 2.0.0 harms the business: rollback"
    assert asking.annotations["rollback_criteria"] == "roll back at once"
    assert "mode" not in asking.annotations
    assert asking.labels == alert.labels  # it stays the same alert when the mode is changed


def test_an_alert_on_indicative_evidence_asks_to_look_and_not_to_roll_back() -> None:
    weak = verdict(indicative=True, action="wait")
    alert = firing(weak, ENFORCED)
    assert alert.summary.endswith("harms the business: look at it, the evidence is indicative")


def test_the_published_action_is_wait_alone() -> None:
    samples = samples_of(snapshot_of(HARMED.state, OBSERVED), version="1")
    told = {labels[-1]: value for labels, value in samples["plimsoll_release_action"]}
    assert told == {action: float(action == "wait") for action in ACTIONS}
    states = {labels[-1]: value for labels, value in samples["plimsoll_release_verdict"]}
    assert states["degraded"] == 1.0


# --- the gate ------------------------------------------------------------------------------------


def asked(told: Verdict, *, wait_s: float = 0.0) -> tuple[Verdict, float]:
    """What the gate takes for its answer, and after how many seconds."""
    slept: list[float] = []
    with (
        answering(verdicts.routes(Fixed(snapshot(told)))) as url,
        httpx.Client(trust_env=False) as client,
    ):
        found = gate.await_decision(
            Client(url, client, slept.append),
            told.deployment,
            wait_s=wait_s,
            interval_s=5,
            now_s=lambda: sum(slept),
            show=lambda *_: None,
        )
    return found, sum(slept)


@pytest.mark.parametrize("status", ["healthy", "degraded"])
def test_the_gate_ends_with_3_and_waits_for_no_action_that_never_comes(status: str) -> None:
    told = msgspec.structs.replace(verdict(), verdict=status, action="wait", mode="observe")
    found, waited = asked(told, wait_s=3_600)
    assert gate.exit_code(found.action) == 3
    assert waited == 0.0


def test_the_gate_still_waits_for_what_is_undecided() -> None:
    found, waited = asked(undecided(mode="observe"), wait_s=20)
    assert gate.exit_code(found.action) == 3
    assert waited == 20.0


def test_the_text_of_a_verdict_says_that_it_is_only_observed() -> None:
    out = io.StringIO()
    console = Console(file=out, width=120)
    console.print(render.verdict_text(HARMED.verdict()))
    console.print(render.verdicts_table([HARMED.verdict()]))
    assert "d-1  degraded  wait  observe" in out.getvalue()
    assert "The policy observes: every gate answers wait." in out.getvalue()
    assert "(observed only)" in out.getvalue()
    calm = io.StringIO()
    Console(file=calm, width=120).print(render.verdict_text(verdict()))
    assert "observe" not in calm.getvalue()

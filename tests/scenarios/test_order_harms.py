"""What the issue demands of a replay: each harm found, none invented, order of no account."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.demo.orders import shipped_orders
from tests.scenarios.order_streams import (
    Harm,
    doubled,
    ndjson,
    shuffled,
    stream_from_orders,
)
from tests.scenarios.replayed import OPEN_WATCH, THREE_POINTS, judged, reasons, verdict_on

ORDERS = shipped_orders()
CHRISTMAS, SPRING = 0, 90  # first days: one month with twelve closed days in it, one without
HARMS = {
    "order_submission_success": Harm(rejected=0.15),
    "order_confirmation_time": Harm(slower=0.5),
    "order_confirmation_rate": Harm(unconfirmed=0.3),
}


@pytest.mark.parametrize("metric", HARMS)
@pytest.mark.parametrize("first_day", [CHRISTMAS, SPRING])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_harm_is_degraded_within_thirty_days_at_forty_orders_a_day(
    metric: str, first_day: int, seed: int, tmp_path: Path
) -> None:
    lines = stream_from_orders(ORDERS, days=31, first_day=first_day, harm=HARMS[metric], seed=seed)
    verdict = verdict_on(lines, tmp_path)
    assert (verdict.verdict, verdict.action) == ("degraded", "rollback")
    assert verdict.first_degraded_at is not None
    degraded = {reason.metric for reason in verdict.reasons if reason.state == "degraded"}
    assert metric in degraded


@pytest.mark.parametrize("country", ["Germany", "France"])
@pytest.mark.parametrize("seed", [1, 2])
def test_one_countrys_rejected_orders_are_found_while_the_total_looks_fine(
    country: str, seed: int, tmp_path: Path
) -> None:
    harm = Harm(country=country, country_rejected=0.9)
    lines = stream_from_orders(ORDERS, days=120, first_day=SPRING, harm=harm, seed=seed)
    verdict = verdict_on(lines, tmp_path, THREE_POINTS)
    assert (verdict.verdict, verdict.action) == ("degraded", "rollback")
    assert reasons(verdict, country=country)["order_submission_success"].state == "degraded"
    total = reasons(verdict)["order_submission_success"]
    assert total.state != "degraded"
    assert total.effect is not None
    assert abs(total.effect) < 0.03
    others = [
        reason.segment
        for reason in verdict.reasons
        if reason.state == "degraded" and reason.segment != {"country": country}
    ]
    assert not others


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 17))
def test_an_untouched_canary_is_never_degraded_in_a_month(seed: int, tmp_path: Path) -> None:
    first_day = (seed * 37) % 200
    share = 0.5 if seed % 2 else 0.1
    lines = stream_from_orders(ORDERS, days=31, first_day=first_day, share=share, seed=seed)
    verdict = verdict_on(lines, tmp_path)
    assert verdict.verdict != "degraded"
    assert verdict.first_degraded_at is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_an_untouched_canary_is_promoted_on_two_hundred_days_with_margins_of_three_points(
    seed: int, tmp_path: Path
) -> None:
    lines = stream_from_orders(ORDERS, days=200, seed=seed)
    verdict = verdict_on(lines, tmp_path, THREE_POINTS)
    assert verdict.first_degraded_at is None
    assert (verdict.verdict, verdict.action) == ("healthy", "promote")


@pytest.mark.parametrize("harm", [Harm(), Harm(rejected=0.15)], ids=["untouched", "rejected"])
def test_shuffled_within_five_minutes_and_half_doubled_the_stream_is_judged_the_same(
    harm: Harm, tmp_path: Path
) -> None:
    lines = stream_from_orders(ORDERS, days=31, first_day=SPRING, harm=harm)
    mixed = doubled(shuffled(lines, seed=5), seed=6)
    assert [line.text for line in mixed[:50]] != [line.text for line in lines[:50]]
    plain, other = judged(lines, tmp_path), judged(mixed, tmp_path)
    assert other.verdicts == plain.verdicts
    assert other.alerts == plain.alerts
    assert other.unattributed == plain.unattributed
    assert other.counts.duplicates == len(mixed) - len(lines)
    assert other.counts.events == plain.counts.events


def test_the_command_prints_the_verdict_as_json(tmp_path: Path) -> None:
    lines = stream_from_orders(ORDERS, days=31, harm=Harm(rejected=0.15))
    file, policy = tmp_path / "orders.ndjson.gz", tmp_path / "policy.yml"
    file.write_bytes(gzip.compress(ndjson(lines)))
    policy.write_text(OPEN_WATCH)
    arguments = ["replay", str(file), "--config", str(policy), "--format", "json"]
    ran = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert ran.exit_code == 0
    replayed = json.loads(ran.stdout)
    (verdict,) = replayed["verdicts"]
    assert (verdict["verdict"], verdict["action"]) == ("degraded", "rollback")
    assert verdict["design"] == "concurrent"
    assert replayed["counts"]["rejected"] == replayed["counts"]["late"] == 0
    assert replayed["counts"]["events"] == len(lines) - 1
    assert replayed["counts"]["markers"] == 1
    assert [alert["status"] for alert in replayed["alerts"]] == ["firing"]

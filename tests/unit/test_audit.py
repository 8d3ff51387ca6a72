"""The self-audit: rates with their intervals, warnings where data break the promise."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import binomtest

from analyzers.auditing.audit import Audit, percent, rate, verdict_line
from analyzers.auditing.measured import missing
from analyzers.facts import Facts, concat
from analyzers.policy import Kind, Measure, Metric, Policy
from collector.decoding.decode import decode
from pipeline.audit import Gathered, OverdueError, Plan, audit
from pipeline.audit_command import audit as command
from pipeline.cli import replay
from pipeline.demo.orders import shipped_orders
from pipeline.demo.play import demanded
from pipeline.demo.story import Dials, Story, releases
from tests.facts_of import (
    OLD,
    answered,
    duration,
    facts_of,
    flow,
    metric_of,
    policy_of,
    success,
    throughput,
)
from tests.order_facts import Orders, drawn

HOUR = 3_600
POLICY = policy_of(success(), duration(), flow(), watch_s=12 * HOUR)


def made(facts: Facts, policy: Policy = POLICY, **changes: Any) -> Audit:
    """The audit of some facts, with few splits and looks."""
    plan = Plan(splits=changes.pop("splits", 4), looks=8, harmed=changes.pop("harmed", 0))
    nothing = lambda _what, _done, _total: None  # noqa: E731
    return audit(Gathered(facts, (), ()), policy, replace(plan, **changes), nothing)


def one_version(per_slice: float = 4.0, seed: int = 1) -> Facts:
    """Some hours of orders of one version, all in order."""
    return drawn(Orders(slices=2_000, per_slice=per_slice, share=0.0, viewed=False), seed)


def customers(n: int = 40, each: int = 100) -> Facts:
    """Orders of a few customers, of whom some fail often and most never; who is who stands in an
    attribute, and no event declares its subject."""
    chance = np.random.default_rng(5)
    whose = np.repeat(np.arange(n), each)
    order = chance.permutation(n * each)
    failing = np.where(chance.random(n) < 0.25, 0.6, 0.01)[whose]
    failed = chance.random(n * each) < failing
    return facts_of(
        np.linspace(0, 11 * HOUR, n * each),
        version=OLD,
        outcome=np.where(failed, "rejected", "ok")[order].tolist(),
        attributes={"customer": [f"c{i}" for i in whose[order].tolist()]},
    )


@pytest.mark.parametrize(("found", "tried"), [(0, 40), (1, 40), (7, 40), (40, 40)])
def test_the_interval_is_that_of_clopper_and_pearson(found: int, tried: int) -> None:
    exact = binomtest(found, tried).proportion_ci(0.95, method="exact")
    ours = rate(found, tried)
    assert (ours.low, ours.high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_events_that_are_independent_are_audited_as_fine() -> None:
    found = made(one_version())
    (service,) = found.services
    assert found.finding == "fine"
    assert service.false_alarms.found == 0
    assert service.false_alarms.tried == 8
    line = verdict_line(service, found.error_rate)
    assert line == (
        "measured false alarms 0 of 8 (0 to 37 %): no sign that it is above the promised 1 %"
    )


def test_a_harm_of_two_margins_is_found_where_there_are_many_events() -> None:
    (service,) = made(one_version(per_slice=8.0), splits=1, harmed=1).services
    told = {one.metric: one for one in service.metrics}
    power = told["duration"].power
    assert power is not None
    assert power.share == 1.0
    assert told["duration"].harm == "+20 %"
    assert (told["duration"].median_events or 0) > 0
    assert 0 < (told["duration"].median_seconds or 0) <= 12 * HOUR


def test_an_unmarked_cluster_raises_the_measured_rate_and_says_what_to_do() -> None:
    facts = customers()
    assert made(facts).finding == "fine"  # split by event, which no cluster disturbs
    found = made(facts, by="customer")
    (service,) = found.services
    assert found.finding == "above"
    assert service.false_alarms.low > 0.01
    assert "above the promised 1 %" in verdict_line(service, found.error_rate)
    assert service.advice[0].startswith("Declare a `subject`")


def test_an_audit_is_the_same_every_time_and_another_with_another_seed() -> None:
    facts = customers(each=20)
    found = made(facts, by="customer", splits=2)
    assert made(facts, by="customer", splits=2) == found
    assert found != made(facts, by="customer", seed=2, splits=2)


def test_a_metric_whose_answers_never_came_is_not_measured_and_says_so() -> None:
    asked = facts_of(np.linspace(0, 4 * HOUR, 1_500), version=OLD)
    policy = policy_of(success(), duration(), answered(), flow(), watch_s=HOUR)
    (service,) = made(asked, policy, splits=1, harmed=1).services
    assert [one.metric for one in service.metrics] == ["success"]
    assert [(one.metric, one.why, one.events) for one in service.not_measured] == [
        ("answered", "no order.confirmed answers any order.submitted", 1_500),
        ("duration", "no order.confirmed", 0),
    ]


def test_a_metric_that_came_only_before_the_placebos_is_not_measured() -> None:
    asked = facts_of(np.linspace(0, 4 * HOUR, 1_500), version=OLD)
    early = facts_of(np.arange(9.0), types="order.confirmed", value=2.0, version=OLD)
    policy = policy_of(success(), duration(), flow(), watch_s=HOUR)
    (service,) = made(concat([asked, early]), policy, splits=1).services
    assert [(one.metric, one.why) for one in service.not_measured] == [
        ("duration", "nothing of it came while a placebo was watched")
    ]


@pytest.mark.parametrize(
    ("metric", "facts", "lacks"),
    [
        (duration(), {"types": "order.confirmed"}, "no order.confirmed has a value"),
        (throughput(exposure="page.viewed"), {}, "no page.viewed"),
        (success(where=(("country", "DE"),)), {}, "no order.submitted with country DE"),
        (throughput(), {"outcome": "rejected"}, "no order.submitted"),
        (throughput(), {}, ""),
    ],
)
def test_what_a_metric_lacks_is_said_in_words(
    metric: Metric, facts: dict[str, Any], lacks: str
) -> None:
    assert missing(metric, facts_of(np.arange(3.0), **facts), policy_of(metric)) == lacks


def test_a_ratio_lacks_what_its_denominator_lacks() -> None:
    lines = metric_of("lines", Kind.AMOUNT, Measure.VALUE, types=("line.picked",))
    ratio = replace(lines, name="ratio", kind=Kind.RATIO, types=("order.submitted",), over="lines")
    facts = facts_of(np.arange(3.0), value=2.0)
    assert missing(ratio, facts, policy_of(ratio, lines)) == "no line.picked"


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0"), (1.0, "100"), (0.999, "99.9"), (0.0881, "8.8"), (1e-6, "0.0001")],
)
def test_percentages_are_written_as_people_write_them(share: float, text: str) -> None:
    assert percent(share) == text


def test_services_with_too_few_events_are_named() -> None:
    few = facts_of(np.arange(50.0), service="price-api", version=OLD)
    found = made(concat([one_version(per_slice=0.5), few]), splits=1)
    assert [one.service for one in found.services] == ["order-api"]
    assert [(one.service, one.events) for one in found.skipped] == [("price-api", 50)]


def lines(facts: Facts) -> bytes:
    """The facts as NDJSON, as far as these tests need it."""
    return b"\n".join(
        json.dumps({
            "id": f"e-{i}", "time": time_ns // 1_000_000, "type": kind, "service": "order-api",
            "version": OLD, "outcome": outcome,
            **({} if np.isnan(value) else {"value": value}),
        }).encode()
        for i, (time_ns, kind, outcome, value) in enumerate(
            zip(
                facts.time_ns.tolist(), facts.type.strings(), facts.outcome.strings(),
                facts.value.tolist(), strict=True,
            )
        )
    )  # fmt: skip


def test_the_command_prints_the_audit_as_json_and_as_a_table(tmp_path: Path) -> None:
    file = tmp_path / "orders.ndjson"
    file.write_bytes(lines(one_version(per_slice=0.2)))
    arguments = [str(file), "--splits", "1", "--watch", "2h"]
    said = CliRunner().invoke(command, [*arguments, "--format", "json"], standalone_mode=False)
    found = msgspec.json.decode(said.stdout, type=Audit)
    assert said.return_value == 0
    assert found.services[0].watch_seconds == 2 * HOUR
    assert {one.metric for one in found.services[0].metrics} >= {"order_submission_success"}
    table = CliRunner().invoke(command, arguments, standalone_mode=False)
    told = " ".join(table.stdout.split())
    assert "measured false alarms 0 of 2" in told
    assert "each watched for 2 h at most" in told
    assert "found within 2 h" in told
    assert "e+" not in told
    assert "not measured, as no event is of theirs: access_granted, api_latency" in told
    assert "order_submission_success" in table.stdout


def said_as_json(main: click.Command, *arguments: str) -> dict[str, Any]:
    """What a command prints as JSON."""
    result = CliRunner().invoke(main, [*arguments, "--format", "json"], standalone_mode=False)
    assert result.exception is None
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("cut", [False, True])
def test_what_was_refused_or_cut_off_is_counted_as_a_replay_counts_it(
    tmp_path: Path, *, cut: bool
) -> None:
    good = lines(one_version(per_slice=0.4)).splitlines()
    ignored = b'{"specversion": "1.0", "type": "dev.cdevents.service.removed.0.2.0"}'
    mixed = [*good, *[b'{"id": 1}', b"no json"] * 300, good[0], ignored]
    body = gzip.compress(b"\n".join(mixed))
    file = tmp_path / "orders.ndjson.gz"
    file.write_bytes(body[: len(body) * 3 // 4] if cut else body)
    (tmp_path / "sheet.ndjson").write_bytes(b"PK\x03\x04")
    replayed = said_as_json(replay, str(tmp_path))["counts"]
    audited = said_as_json(command, str(tmp_path), "--splits", "1", "--watch", "1h")["counts"]
    assert replayed.pop("late") == 0
    assert audited == replayed
    assert audited["rejected_by_reason"]["unreadable"] >= 1
    table = CliRunner().invoke(
        command, [str(tmp_path), "--splits", "1", "--watch", "1h"], standalone_mode=False
    )
    told = " ".join(table.stdout.split())
    assert f"{audited['duplicates']} duplicates, {audited['rejected']} rejected" in told
    for reason, count in audited["rejected_by_reason"].items():
        assert f"rejected: {reason} {count}" in told


def test_what_is_not_reached_in_time_is_named_and_the_rest_is_there() -> None:
    few = facts_of(np.linspace(0, HOUR, 300), service="price-api", version=OLD)
    asked = 0

    def told(_what: str, _done: int, _total: int) -> None:
        nonlocal asked
        asked += 1
        if asked > 6:  # the smaller service, and the beginning of the larger one
            raise OverdueError

    gathered = Gathered(concat([one_version(per_slice=0.5), few]), (), ())
    found = audit(gathered, POLICY, Plan(splits=2, looks=2, harmed=0), told)
    assert [one.service for one in found.services] == ["price-api"]
    assert [(one.service, one.reached) for one in found.skipped] == [("order-api", False)]
    assert found.skipped[0].why == "not reached in the time given"


def test_the_command_refuses_what_cannot_be_audited(tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code != 0
        return result.output

    empty = tmp_path / "empty.ndjson"
    empty.write_bytes(b"")
    file = tmp_path / "orders.ndjson"
    file.write_bytes(lines(one_version(per_slice=0.2)))
    (tmp_path / "broken.ndjson").write_bytes(b"no json\n" * 3)
    assert "--days" not in said(str(empty))
    assert "give a longer recording" in said(str(empty))
    assert "0 events, 3 rejected" in " ".join(said(str(tmp_path / "broken.ndjson")).split())
    assert "give one of them" in said(str(file), "--state", str(tmp_path))
    assert "no event has such an attribute" in said(str(file), "--by", "customer")
    assert "no time to watch" in said(str(file), "--watch", "soon")
    assert "no time to take" in said(str(file), "--within", "0s")
    assert "nowhere" in said("--state", str(tmp_path / "nowhere"))


def test_real_orders_split_by_customer_raise_no_false_alarm() -> None:
    story, told = Story.of(shipped_orders(), releases(), Dials(seed=2)), list[bytes]()
    while (day := story.next_batch("wait")) is not None:
        told += [*day.markers, *day.events]
    policy = demanded()
    batch = decode(told, attributes=policy.attributes(), limits=policy.limits)
    gathered = Gathered(batch.facts, batch.markers, batch.rejects)
    found = audit(gathered, policy, Plan(splits=2, looks=4, harmed=0), lambda *_: None)
    (service,) = found.services
    assert found.finding == "fine"
    assert service.false_alarms.found == 0
    assert {one.version for one in service.left_out} == {one.version for one in releases()}

"""Everything published to Prometheus: the table, the samples, the docs, what promtool says."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from dashboards import exposition, instruments
from dashboards.exposition import samples_of, segment_label, worst
from dashboards.instruments import INSTRUMENTS, SERIES_LIMIT
from dashboards.snapshot import Distribution, Snapshot, Vitals
from tests.unit.released import Fixed, reason, release, snapshot, undecided, verdict

ROOT = Path(__file__).resolve().parents[2]


def scrape(given: Snapshot, accept: str = "") -> httpx.Response:
    app = Starlette(routes=exposition.routes(Fixed(given), version="1.0"))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/metrics", headers={"accept": accept})

    return asyncio.run(ask())


def values(given: Snapshot, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Label sets and values of one sample name."""
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(scrape(given).text)
        for sample in family.samples
        if sample.name == name
    }


def test_one_verdict_of_four_is_the_current_one() -> None:
    found = values(snapshot(verdict()), "plimsoll_release_verdict")
    current = {dict(labels)["verdict"]: value for labels, value in found.items()}
    assert current == {"healthy": 0, "degraded": 1, "inconclusive": 0, "no_data": 0}


def test_one_action_of_four_is_the_current_one() -> None:
    found = values(snapshot(undecided()), "plimsoll_release_action")
    current = {dict(labels)["action"]: value for labels, value in found.items()}
    assert current == {"promote": 0, "rollback": 0, "wait": 1, "hold": 0}


def test_effects_come_with_both_bounds_and_leave_out_what_is_unknown() -> None:
    given = snapshot(verdict(reasons=[reason(low=None)]))
    found = values(given, "plimsoll_release_effect")
    assert {dict(labels)["bound"]: value for labels, value in found.items()} == {
        "estimate": -0.037,
        "high": -0.025,
    }


def test_a_release_that_the_state_has_forgotten_vanishes() -> None:
    assert values(snapshot(verdict()), "plimsoll_release_verdict")
    assert not values(snapshot(), "plimsoll_release_verdict")


def test_counters_of_events_come_from_the_committed_state() -> None:
    given = snapshot()
    found = values(given, "plimsoll_business_events_total")
    assert sorted(found.values()) == [2.0, 5.0]
    assert values(given, "plimsoll_duplicates_total") == {(): 2.0}
    assert values(given, "plimsoll_rejected_total") == {
        (("reason", "not_json"),): 2.0,
        (("reason", "too_long"),): 1.0,
    }
    assert values(given, "plimsoll_rollbacks_total") == {
        (("environment", "production"), ("service", "order-api")): 1.0
    }


def test_the_latest_marker_of_a_type_gives_the_time() -> None:
    given = Snapshot(releases={"d-42": release(verdict(), markers=3)})
    found = values(given, "plimsoll_deployment_marker_timestamp_seconds")
    assert list(found.values()) == [1_779_357_602.0]


def test_durations_are_counted_in_cumulative_buckets() -> None:
    seen = Distribution().observe(0.003).observe(0.003).observe(99.0)
    given = Snapshot(vitals=Vitals(commit=seen))
    buckets = values(given, "plimsoll_commit_seconds_bucket")
    told = {dict(labels)["le"]: value for labels, value in buckets.items()}
    assert (told["0.0025"], told["0.005"], told["10.0"], told["+Inf"]) == (0, 2, 2, 3)
    assert values(given, "plimsoll_commit_seconds_sum") == {(): pytest.approx(99.006)}


def test_a_metric_shows_its_total_and_its_five_worst_segments() -> None:
    told = [reason(segment={"warehouse": f"W{n}"}, e_value=float(n)) for n in range(9)]
    shown = worst([*told, reason(e_value=0.1), reason("edi_acceptance")])
    assert [segment_label(one.segment) for one in shown] == [
        "total", "warehouse=W8", "warehouse=W7", "warehouse=W6", "warehouse=W5", "warehouse=W4",
        "total",
    ]  # fmt: skip


def test_a_segment_label_does_not_depend_on_the_order_of_attributes() -> None:
    assert segment_label({"b": "2", "a": "1"}) == segment_label({"a": "1", "b": "2"}) == "a=1,b=2"


def test_so_many_releases_that_a_scrape_would_be_slow_are_cut_at_the_oldest() -> None:
    many = {f"d-{n}": release(verdict(f"d-{n}")) for n in range(1000)}
    samples = samples_of(Snapshot(releases=many), version="1")
    count = sum(map(len, samples.values()))
    assert count <= SERIES_LIMIT + 1
    assert samples["plimsoll_exposition_omitted_series"][0][1] > 0
    told = {labels[0] for labels, _ in samples["plimsoll_release_verdict"]}
    assert "d-0" in told
    assert "d-999" not in told


def test_every_instrument_has_samples_or_is_a_histogram() -> None:
    samples = samples_of(snapshot(verdict()), version="1")
    told = {one.name for one in INSTRUMENTS if one.kind != "histogram"}
    assert set(samples) == told


def test_hostile_names_stay_inside_their_label() -> None:
    hostile = 'd"}\nplimsoll_release_verdict{deployment="forged'
    found = values(snapshot(verdict(hostile)), "plimsoll_release_verdict")
    assert {dict(labels)["deployment"] for labels in found} == {hostile}


def test_scrapers_may_ask_for_openmetrics() -> None:
    response = scrape(snapshot(verdict()), accept="application/openmetrics-text; version=1.0.0")
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


def test_the_page_of_metrics_is_generated_from_the_table() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert page == instruments.as_markdown(), "run python -m dashboards.instruments"


def test_promtool_finds_nothing_to_complain_about() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (package prometheus) is not on this machine")
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=scrape(snapshot(verdict(), undecided(reasons=[reason()]))).text,
        text=True,
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")

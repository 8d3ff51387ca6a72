"""All releases under one false discovery rate: the report, over HTTP, and as it is typed."""

from __future__ import annotations

import asyncio
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from rich.console import Console
from starlette.applications import Starlette

from analyzers.contrast.weighted import log_weighted_average
from analyzers.judging.fleet import FleetError, e_bh, e_lond, fleet
from analyzers.judging.verdict import Verdict
from analyzers.times import rfc3339
from dashboards.api import fleet as face
from dashboards.api import openapi
from dashboards.snapshot import ReleaseTally, Snapshot
from pipeline import clock, fleet_command
from pipeline.cli import main
from tests.integration.serving import marker, ndjson, order
from tests.unit.answering import answering
from tests.unit.released import MAY_21_NS, Fixed, snapshot, verdict
from tests.unit.test_api_openapi import conforms, schema_of


def ended(name: str, e_value: float, hours: float = 1.0, **said: Any) -> Verdict:
    at = rfc3339(MAY_21_NS + round(hours * 3600) * 1_000_000_000)
    return verdict(name, e_value=e_value, ended_at=at, **said)


GOOD = [ended(f"good-{i}", 0.5, i) for i in range(8)]
BAD = ended("bad", 5_000.0, 8.5)
RUNNING = verdict("running", e_value=1e9)
WEAK = ended("weak", 1e9, 9.0, indicative=True)


# --- the report ----------------------------------------------------------------------------------


def test_a_release_far_beyond_the_others_is_found_in_the_list_and_live() -> None:
    told = fleet([*GOOD, BAD])
    found = [one.deployment for one in told.releases if one.harmful and one.harmful_live]
    assert found == ["bad"]
    assert (told.ended, told.harmful, told.harmful_live) == (9, 1, 1)
    assert told.needed == pytest.approx(90.0)
    assert told.summary == (
        "Of 9 releases that ended, 1 is counted as harmful; "
        "on average at most 10 % of such a list is wrong."
    )


def test_what_still_runs_or_is_indicative_is_listed_and_is_no_test() -> None:
    told = fleet([RUNNING, WEAK, *GOOD, BAD])
    assert (told.ended, told.running, told.indicative, told.harmful) == (9, 1, 1, 1)
    by_name = {one.deployment: one for one in told.releases}
    for name in ("running", "weak"):
        assert not by_name[name].counted
        assert not by_name[name].harmful
        assert by_name[name].needed_live is None
    assert told.releases[-1].deployment == "running"
    assert fleet([*GOOD, BAD]).releases == [
        one for one in told.releases if one.deployment not in ("running", "weak")
    ]


def test_live_findings_follow_the_order_of_the_ends_and_not_that_of_the_list() -> None:
    first, later = ended("first", 200.0, 1.0), ended("later", 200.0, 2.0)
    for told_as in ([first, later], [later, first]):
        told = fleet(told_as)
        assert [(r.deployment, r.harmful_live) for r in told.releases] == [
            ("first", True), ("later", False),
        ]  # fmt: skip


def test_a_live_finding_stays_when_more_releases_end() -> None:
    many = [ended(f"d-{i:03}", 1e4 if i % 7 == 3 else 0.7, i) for i in range(60)]
    live = [one.harmful_live for one in fleet(many).releases]
    for n in range(1, 60):
        assert [one.harmful_live for one in fleet(many[:n]).releases] == live[:n]


def test_the_report_of_a_list_may_find_what_live_could_not() -> None:
    told = fleet([*GOOD, *(ended(f"bad-{i}", 90.0, 20.0 + i) for i in range(3))])
    assert (told.harmful, told.harmful_live) == (3, 0)


def test_a_stricter_rate_finds_no_more() -> None:
    rng = np.random.default_rng(3)
    log_e = rng.normal(0.0, 5.0, 200)
    strict, loose = e_bh(log_e, 0.01), e_bh(log_e, 0.2)
    assert not (strict & ~loose).any()
    assert 0 < strict.sum() < loose.sum()


def test_a_fleet_of_nothing_finds_nothing() -> None:
    told = fleet([])
    assert (told.ended, told.harmful, told.releases) == (0, 0, [])
    assert "No release that can be counted has ended yet." in told.summary
    assert e_lond(np.zeros(0), 0.1)[0].tolist() == []


def test_none_found_is_said_without_a_promise() -> None:
    assert fleet(GOOD).summary == "Of 8 releases that ended, none is counted as harmful."


def test_e_values_of_zero_and_of_the_largest_number_are_fine() -> None:
    told = fleet([ended("a", 0.0), ended("b", 1e300, 2.0)])
    assert [one.harmful for one in told.releases] == [False, True]


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 2.0, math.nan, math.inf])
def test_a_rate_that_can_be_none_is_refused(rate: float) -> None:
    with pytest.raises(FleetError, match="give one between 0 and 1"):
        fleet(GOOD, rate=rate)


@pytest.mark.parametrize("e_value", [-1.0, math.nan])
def test_an_e_value_that_can_be_none_is_refused_by_name(e_value: float) -> None:
    with pytest.raises(FleetError, match=r"'odd' is none: it is never negative"):
        fleet([ended("odd", e_value)])


def test_an_end_that_is_no_time_is_refused_by_name() -> None:
    with pytest.raises(FleetError, match=r"'soon' of 'd' is no RFC 3339 time"):
        fleet([verdict("d", ended_at="soon")])


def test_a_weighted_average_in_logs_bears_numbers_beyond_any_float() -> None:
    huge = log_weighted_average(np.array([5_000.0, -5_000.0]), np.array([0.25, 0.5]))
    assert huge == pytest.approx(5_000.0 + math.log(0.25))
    assert log_weighted_average(np.zeros(0), np.zeros(0)) == 0.0
    lost = log_weighted_average(np.array([-np.inf]), np.array([1.0]))
    assert math.isfinite(lost)


# --- over HTTP -----------------------------------------------------------------------------------


def get(given: Snapshot, path: str) -> httpx.Response:
    app = Starlette(routes=face.routes(Fixed(given)))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_the_answer_is_as_the_document_says() -> None:
    response = get(snapshot(*GOOD, BAD, RUNNING), "/v1/fleet?rate=0.2")
    told = response.json()
    assert (response.status_code, told["rate"], told["harmful"]) == (200, 0.2, 1)
    assert conforms(told, schema_of("/v1/fleet"))
    assert "/v1/fleet" in {one.path for one in openapi.OPERATIONS}


def test_before_anything_was_committed_the_fleet_is_empty() -> None:
    assert get(Snapshot(), "/v1/fleet").json()["releases"] == []


def test_releases_that_are_not_at_hand_any_more_are_counted() -> None:
    many = (ReleaseTally("production", "order-api", 30, 1), ReleaseTally("staging", "edi", 2, 0))
    given = replace(snapshot(*GOOD, BAD), deliveries=many)
    assert get(given, "/v1/fleet").json()["forgotten"] == 23


@pytest.mark.parametrize("rate", ["0", "1", "nan", "-1", "much", ""])
def test_a_bad_rate_is_told_over_http(rate: str) -> None:
    response = get(snapshot(BAD), f"/v1/fleet?rate={rate}")
    assert (response.status_code, response.json()["error"]) == (400, "bad_request")
    assert "between 0 and 1" in response.json()["detail"]


# --- as it is typed ------------------------------------------------------------------------------


def ran(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as over:
        main(arguments)
    return over.value.code


@pytest.fixture
def replayed(tmp_path: Path) -> Path:
    file = tmp_path / "replay.json"
    body = {"verdicts": [*GOOD, BAD, RUNNING, WEAK], "alerts": [], "counts": {"events": 3}}
    file.write_bytes(msgspec.json.encode(body))
    return file


def test_the_daemon_and_a_replay_say_the_same(
    replayed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(face.routes(Fixed(snapshot(*GOOD, BAD, RUNNING, WEAK)))) as url:
        assert ran("fleet", "--url", url) == 0
    asked = capsys.readouterr().out
    assert ran("fleet", "--from", str(replayed)) == 0
    assert capsys.readouterr().out == asked
    for words in ("Of 9 releases that ended, 1 is counted as harmful", "at most 10 %",
                  "not ended yet: running", "only indicative, not counted: 1"):  # fmt: skip
        assert words in asked


def test_json_is_the_report(replayed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("fleet", "--from", str(replayed), "--rate", "0.05", "--format", "json") == 0
    told = json.loads(capsys.readouterr().out, parse_constant=AssertionError)
    assert (told["rate"], told["ended"], told["harmful"]) == (0.05, 9, 1)


def test_a_replay_can_be_read_from_standard_input(
    replayed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(replayed.read_bytes())))
    assert ran("fleet", "--from", "-") == 0
    assert "1 is counted as harmful" in capsys.readouterr().out


def test_only_so_many_releases_are_shown_and_harmful_ones_first() -> None:
    many = [ended(f"d-{i:03}", 1e5 if i == 57 else 0.1, i) for i in range(60)]
    out = io.StringIO()
    fleet_command.show(fleet(many), "table", Console(file=out, width=120))
    lines = out.getvalue().splitlines()
    assert "d-057" in next(line for line in lines if "d-0" in line)
    assert "and 40 more; --format json has them" in lines


def test_names_that_would_command_a_terminal_are_shown_escaped() -> None:
    evil = [ended("a\x1b]0;x\x07", 1e5), verdict("b\x1b[2J")]
    out = io.StringIO()
    fleet_command.show(fleet(evil), "table", Console(file=out, width=200))
    assert "\x1b" not in out.getvalue()
    assert "\\x1b" in out.getvalue()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"rubbish", "holds no verdicts"),
        (b"\xff\xfe", "holds no verdicts"),
        (b'{"alerts":[]}', "holds no verdicts"),
        (b'{"verdicts":[{"deployment":"d"}]}', "holds no verdicts"),
        (msgspec.json.encode({"verdicts": [ended("d", -3.0)]}), "is never negative"),
    ],
)
def test_a_file_that_is_no_replay_is_refused_in_one_line(
    body: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "odd.json"
    file.write_bytes(body)
    assert ran("fleet", "--from", str(file)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_file_that_is_too_long_or_absent_is_refused(
    tmp_path: Path, replayed: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert ran("fleet", "--from", str(tmp_path / "none.json")) == 2
    assert "cannot be read" in capsys.readouterr().err
    monkeypatch.setattr(fleet_command, "LONGEST_BYTES", 100)
    assert ran("fleet", "--from", str(replayed)) == 2
    assert "is longer than 100 bytes" in capsys.readouterr().err


def test_misuse_is_told_with_its_code(
    replayed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clock, "sleep", lambda _: None)
    assert ran("fleet", "--from", str(replayed), "--url", "http://127.0.0.1:9") == 2
    assert "give one of them" in capsys.readouterr().err
    assert ran("fleet", "--rate", "1") == 2
    assert ran("fleet", "--url", "http://127.0.0.1:9") == 2
    assert "cannot be reached" in capsys.readouterr().err


def test_what_a_replay_prints_is_read_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream, printed = tmp_path / "orders.ndjson", tmp_path / "replay.json"
    end = marker(
        type="deployment.finished",
        id="m-2",
        time="2026-05-21T10:00:20Z",
        deployment="d-1",
        outcome="ok",
    )
    stream.write_bytes(ndjson([marker(), *(order(n) for n in range(300)), end]))
    assert ran("replay", str(stream), "--format", "json") == 0
    printed.write_text(capsys.readouterr().out)
    assert ran("fleet", "--from", str(printed)) == 0
    assert "Of 1 release that ended, none is counted as harmful." in capsys.readouterr().out

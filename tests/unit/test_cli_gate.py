"""``plimsoll verdict``: an exit code for a CI job, from the action alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from analyzers.judging.verdict import ACTIONS, Verdict
from dashboards.api import verdicts
from dashboards.snapshot import Snapshot
from pipeline import daemon_client, gate
from pipeline.cli import main
from pipeline.daemon_client import Daemon, DaemonError, UnreachableError
from tests.unit.answering import answering
from tests.unit.released import Fixed, snapshot, undecided, verdict

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there


def code_of(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def no_sleep(seconds: float) -> None:
    """Time that passes at once."""


@contextmanager
def judged(*told: Verdict) -> Iterator[str]:
    with answering(verdicts.routes(Fixed(snapshot(*told)))) as url:
        yield url


@pytest.mark.parametrize(
    ("action", "code"), [("promote", 0), ("rollback", 1), ("wait", 3), ("hold", 3)]
)
def test_the_exit_code_follows_the_action(action: str, code: int) -> None:
    told = msgspec.structs.replace(verdict("d/1"), action=action)
    with judged(told) as url:
        assert code_of("verdict", "d/1", "--url", url) == code


def test_every_action_has_an_exit_code() -> None:
    assert {gate.exit_code(action) for action in ACTIONS} == {0, 1, 3}


def test_an_unknown_deployment_must_wait(capsys: pytest.CaptureFixture[str]) -> None:
    with judged() as url:
        assert code_of("verdict", "never-heard-of", "--url", url) == 3
    assert "no_data" in capsys.readouterr().out


def test_json_is_the_verdict_as_the_daemon_gave_it(capsys: pytest.CaptureFixture[str]) -> None:
    with judged(verdict()) as url:
        assert code_of("verdict", "d-42", "--url", url, "--format", "json") == 1
    assert msgspec.json.decode(capsys.readouterr().out, type=Verdict) == verdict()


def test_the_text_names_what_is_worse_and_by_how_much(capsys: pytest.CaptureFixture[str]) -> None:
    with judged(verdict()) as url:
        code_of("verdict", "d-42", "--url", url)
    said = capsys.readouterr().out
    for words in ("degraded", "rollback", "order_submission_success", "-0.049", "team-orders"):
        assert words in said


def test_a_daemon_that_is_not_there_is_misuse_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.clock.sleep", no_sleep)
    assert code_of("verdict", "d-42", "--url", NOBODY) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "cannot be reached" in said
    assert "plimsoll serve" in said


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://", "http://x:0", "http://[::1"])
def test_an_address_that_is_none_is_misuse(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("verdict", "d-42", "--url", url) == 2
    assert "is no HTTP address" in capsys.readouterr().err


@pytest.mark.parametrize("wait", ["soon", "-1s", "5", "1w", "9999999999d"])
def test_a_duration_that_is_none_is_misuse(wait: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("verdict", "d-42", "--wait", wait) == 2
    assert "is no duration; write for instance 90s, 30m or 12h" in capsys.readouterr().err


class Times:
    """A clock that moves only when somebody sleeps, and what happens at each sleep."""

    def __init__(self, then: Callable[[int], None] = lambda _: None) -> None:
        self.now = 0.0
        self.sleeps = 0
        self.then = then

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.sleeps += 1
        self.then(self.sleeps)


def awaited(url: str, times: Times, wait_s: float, seen: list[Verdict | None]) -> Verdict:
    with httpx.Client(trust_env=False) as client:
        return gate.await_decision(
            Daemon(url, client, times.sleep),
            "d-43",
            wait_s=wait_s,
            interval_s=5,
            now_s=lambda: times.now,
            show=lambda told, _left: seen.append(told),
        )


def test_waiting_ends_as_soon_as_there_is_a_decision() -> None:
    reader = Fixed(snapshot(undecided("d-43")))

    def decide(sleeps: int) -> None:
        if sleeps == 3:
            reader.given = snapshot(verdict("d-43"))

    seen: list[Verdict | None] = []
    times = Times(decide)
    with answering(verdicts.routes(reader)) as url:
        assert awaited(url, times, 3600, seen).action == "rollback"
    assert [told.action if told else None for told in seen] == ["wait"] * 3
    assert times.now == 15.0


def test_waiting_ends_when_the_time_is_over_and_the_answer_is_still_wait() -> None:
    seen: list[Verdict | None] = []
    times = Times()
    with judged(undecided("d-43")) as url:
        assert awaited(url, times, 12, seen).action == "wait"
    assert times.now == 12.0


def test_a_daemon_that_is_away_for_a_while_is_asked_again() -> None:
    away = True

    async def sometimes(_: Request) -> Response:
        if away:
            return Response('{"error":"unavailable","detail":"loading"}', 503)
        return Response(msgspec.json.encode(verdict("d-43")))

    def come_back(sleeps: int) -> None:
        nonlocal away
        away = sleeps < 7

    seen: list[Verdict | None] = []
    with answering([Route("/v1/verdicts/d-43", sometimes)]) as url:
        assert awaited(url, Times(come_back), 3600, seen).action == "rollback"
    assert seen == [None]


def test_a_daemon_that_stays_away_is_unreachable_at_the_end() -> None:
    with pytest.raises(UnreachableError, match=r"cannot be reached: .*plimsoll serve"):
        awaited(NOBODY, Times(), 60, [])


def test_something_else_at_the_address_is_told_at_once() -> None:
    async def other(_: Request) -> Response:
        return PlainTextResponse("hello")

    with (
        answering([Route("/v1/verdicts/d-43", other)]) as url,
        pytest.raises(DaemonError, match="does not answer with a verdict"),
    ):
        awaited(url, Times(), 3600, [])


def test_an_answer_that_is_no_problem_of_ours_is_told_by_its_status() -> None:
    with (
        answering([]) as url,
        pytest.raises(DaemonError, match="refuses: HTTP 404, and not from plimsoll"),
    ):
        awaited(url, Times(), 3600, [])


def test_a_daemon_that_says_when_to_come_back_is_heard() -> None:
    async def busy(_: Request) -> Response:
        body = '{"error":"busy","detail":"full"}'
        return Response(body, 429, headers={"retry-after": "7"})

    times = Times()
    with (
        answering([Route("/v1/markers", busy, methods=["POST"])]) as url,
        httpx.Client(trust_env=False) as client,
        pytest.raises(UnreachableError, match="full"),
    ):
        Daemon(url, client, times.sleep).send_marker(b"{}")
    assert times.now == 7.0 * (daemon_client.ATTEMPTS - 1)


def test_before_it_is_loaded_a_daemon_makes_the_gate_wait(tmp_path: Path) -> None:
    with answering(verdicts.routes(Fixed(Snapshot()))) as url:
        assert code_of("verdict", "d-42", "--url", url) == 3

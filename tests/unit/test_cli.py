"""The command line: help for every command, misuse in one line, nothing heavy before it is due."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from pipeline import mark
from pipeline.cli import cli, main
from pipeline.mark import MarkError, cohort, event_time, marker_id, page_url

NOW = datetime(2026, 5, 21, 10, 0, 0, 123_456, tzinfo=UTC)


def code_of(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_has_help_with_two_examples(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(name, "--help") == 0
    said = capsys.readouterr().out
    assert len(re.findall(rf"^  +plimsoll {name}\b", said, re.MULTILINE)) == 2


def test_only_commands_that_exist_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--help") == 0
    listed = re.findall(r"^  ([a-z]+)  ", capsys.readouterr().out, re.MULTILINE)
    assert listed == [
        "audit", "backup", "check", "demo", "fleet", "mark", "rejects", "replay", "restore",
        "serve", "verdict",
    ]  # fmt: skip


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("--version") == 0
    assert re.fullmatch(r"plimsoll \S+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["serve", "--port", "70000"], "70000 is not in the range"),
        (["replay"], "Missing argument 'FILES...'"),
        (["mark", "begun", "--service", "s", "--version", "1"], "'begun' is not one of"),
        (["mark", "started", "--version", "1"], "Missing option '--service'"),
        (["mark", "started", "--service", "s", "--version", "1", "--share", "2"], "0<=x<=1"),
        (["mark", "started", "--service", "s", "--version", "1", "--cohort", "W1"],
         "cohort 'W1' is not understood; write for instance warehouse=W1,W2"),
        (["serve", "--config", "no-such-file.yml"], "name a policy file that exists"),
        (["demo", "--harm-country", "1.5"], "0<=x<=1"),
    ],
)  # fmt: skip
def test_misuse_is_told_without_a_traceback(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("plimsoll: ")
    assert said in error
    assert "Traceback" not in error


def test_help_does_not_load_what_only_commands_need() -> None:
    heavy = "numpy scipy pandas pyarrow httpx starlette uvicorn rich msgspec yaml"
    asked = (
        "import sys\n"
        "from pipeline.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {heavy.split()!r} if name in sys.modules], file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert ran.stderr == "[]\n"


def test_a_marker_is_dated_now_or_as_it_is_told() -> None:
    assert event_time(None, now=NOW) == "2026-05-21T10:00:00.123Z"
    assert event_time("2026-05-20T10:00:00+02:00", now=NOW) == "2026-05-20T10:00:00+02:00"
    assert event_time("1779357600123", now=NOW) == 1_779_357_600_123


def test_the_same_marker_has_the_same_id() -> None:
    time = event_time(None, now=NOW)
    assert marker_id("d-1", "started", time) == marker_id("d-1", "started", time)
    assert marker_id("d-1", "started", time) != marker_id("d-1", "finished", time)


def test_a_cohort_may_be_told_in_parts() -> None:
    assert cohort(["warehouse=W1, W2", "warehouse=W3", "region=eu"]) == {
        "warehouse": ["W1", "W2", "W3"],
        "region": ["eu"],
    }


@pytest.mark.parametrize("option", ["warehouse", "=W1", "warehouse=", "warehouse= , "])
def test_a_cohort_that_names_nobody_is_refused(option: str) -> None:
    with pytest.raises(MarkError, match="is not understood; write for instance"):
        cohort([option])


def test_the_page_of_a_deployment_with_odd_letters_can_be_opened() -> None:
    assert page_url("http://x:1/", "shop/orders#1") == "http://x:1/#shop%2Forders%231"


def test_every_kind_of_marker_has_a_verb() -> None:
    assert sorted(mark.VERBS.values()) == [
        "deployment.finished",
        "deployment.rolled_back",
        "deployment.shifted",
        "deployment.started",
    ]

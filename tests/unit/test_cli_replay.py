"""``plimsoll replay`` and ``plimsoll check`` as they are typed: output, exit codes, errors."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from pipeline import render, replay_command
from pipeline.cli import main
from tests.integration.serving import marker, ndjson, order


def ran(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    file = tmp_path / "orders.ndjson.gz"
    events: list[dict[str, object] | bytes] = [marker(), *(order(n) for n in range(300))]
    events += [b"rubbish", order(3)]
    file.write_bytes(gzip.compress(ndjson(events)))
    return file


def test_json_is_one_strict_object_with_everything_counted(
    stream: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran("replay", str(stream), "--format", "json") == 0
    told = json.loads(capsys.readouterr().out, parse_constant=AssertionError)
    assert [one["deployment"] for one in told["verdicts"]] == ["d-1"]
    assert (told["alerts"], told["unattributed"], told["complete"]) == ([], [], True)
    counts = told["counts"]
    assert {name: counts[name] for name in ("events", "duplicates", "late", "rejected")} == {
        "events": 300, "duplicates": 1, "late": 0, "rejected": 1,
    }  # fmt: skip


def test_the_table_says_what_was_decided_and_why(
    stream: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran("replay", str(stream)) == 0
    said = capsys.readouterr().out
    for words in ("d-1", "order-api", "1.1", "300 events, 1 markers", "rejected: not_json 1"):
        assert words in said


def test_a_stream_without_any_release_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "orders.ndjson"
    file.write_bytes(ndjson([order(1)]))
    assert ran("replay", str(file)) == 0
    assert "no deployment.started marker was found" in capsys.readouterr().out


def test_what_came_after_until_is_left_out(
    stream: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran("replay", str(stream), "--format", "json", "--until", "2026-05-21T10:00:10Z") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["events"] == 110
    assert told["verdicts"][0]["as_of"] <= "2026-05-21T10:00:20.000Z"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-file.ndjson"], "no-such-file.ndjson does not exist"),
        (["{stream}", "--until", "yesterday"], "--until: time 'yesterday' is not RFC 3339"),
        (["{stream}", "--config", "no-such-file.yml"], "cannot be read"),
    ],
)
def test_what_cannot_be_replayed_is_told_without_a_traceback(
    stream: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran("replay", *(one.replace("{stream}", str(stream)) for one in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("plimsoll: ")
    assert said in error


def test_check_ends_with_0_for_a_good_configuration_and_1_for_a_bad_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(f"state: {tmp_path / 'state'}\nerror_rate: 0.02\n")
    bad.write_text("error_rate: 7\nwach: 24h\n")
    assert ran("check", "--config", str(good)) == 0
    assert ran("check", "--config", str(bad)) == 1
    said = capsys.readouterr().out
    assert "error_rate" in said
    assert "wach" in said


def test_progress_is_shown_for_long_input_in_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def drawn(*, terminal: bool, total: int) -> str:
        out = io.StringIO()
        console = Console(file=out, force_terminal=True, width=60)
        monkeypatch.setattr(render, "plain_console", lambda **_: console)
        with replay_command._progress(show=terminal) as told:
            for done in range(0, total, total // 4):
                told(done, total)
        return out.getvalue()

    assert "reading" in drawn(terminal=True, total=64 << 20)
    assert drawn(terminal=True, total=1 << 10) == ""
    assert drawn(terminal=False, total=64 << 20) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.6, "1 min"), (5400, "1 h 30 min"), (86_400 * 12 + 7_260, "12 d 2 h")],
)
def test_durations_are_told_in_their_two_largest_units(seconds: float, words: str) -> None:
    assert render.span(seconds) == words

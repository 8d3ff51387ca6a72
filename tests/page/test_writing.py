"""How the page writes numbers, times and names, and where ticks stand: its modules, in Chromium."""

from __future__ import annotations

from typing import Any

import pytest

from tests.page.browser import Window, plain

pytestmark = pytest.mark.page


def given_back(window: Window, module: str, call: str) -> Any:
    """What a call of a function of one of the page's modules gives back."""
    window.open()
    script = (
        "const done = arguments[0];"
        f"import('/page/{module}.js').then((m) => done({{value: m.{call}}}))"
        ".catch((error) => done({error: String(error)}))"
    )
    answer = window.driver.execute_async_script(script)
    assert "error" not in answer, answer
    value = answer["value"]
    return plain(value) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("call", "written"),
    [
        ("count(null)", "unknown"),
        ("count(0)", "0"),
        ("count(1234567)", "1,234,567"),
        ("count(12345678)", "12.3M"),
        ("count(4.6e18)", "4.6 × 10¹⁸"),
        ("counted(1, 'orders')", "1 order"),
        ("odds(1840)", "1,840 : 1"),
        ("odds(4.5e14)", "4.5 × 10¹⁴ : 1"),
        ("odds(0.42)", "0.42 : 1"),
        ("odds(1e-9)", "under 0.01 : 1"),
        ("odds(undefined)", "unknown"),
        ("percent(-0.0373)", "-3.7 %"),
        ("percent(0.62)", "+62 %"),
        ("span(250)", "4 min 10 s"),
        ("span(2100)", "35 min"),
        ("span(0)", "0 s"),
        ("span(187200)", "2 d 4 h"),
        ("when(1779357600000)", "21 May 2026, 10:00"),
        ("when('2026-05-21T10:00:00.123Z', 'second')", "21 May 2026, 10:00:00"),
        ("when('yesterday')", "unknown"),
        ("when(1e300)", "unknown"),
        ("segmentName({})", "total"),
        ("segmentName({partner: 'P9', document: '850'})", "partner P9, document 850"),
        ("number(-0.04, 1, {sign: true})", "0.0"),
        ("number(NaN, 1)", "unknown"),
    ],
)
def test_words_are_written_as_an_operator_would_say_them(
    window: Window, call: str, written: str
) -> None:
    assert given_back(window, "words", call) == written


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (
            (
                "{unit: '1'}, {baseline: .991, canary: .954, effect: -.037, low: -.049,"
                " high: -.025, margin: -.005}"
            ),
            ["99.1 %", "95.4 %", "-3.7 points", "-4.9 to -2.5", "-0.5 points"],
        ),
        (
            (
                "{unit: 's'}, {baseline: 84.2, canary: 136.4, effect: 52.2, low: 28.6, high: 78.4,"
                " margin: 12.6}"
            ),
            ["84.2 s", "136 s", "+52 s", "+29 to +78", "+12.6 s"],
        ),
        (
            (
                "{unit: 's'}, {baseline: .21, canary: .215, effect: .005, low: -.01, high: null,"
                " margin: .021}"
            ),
            ["210 ms", "215 ms", "+5.0 ms", "at least -10.0", "+21 ms"],
        ),
        (
            (
                "{unit: 'orders', kind: 'count'}, {baseline: 620, canary: 642, effect: 22,"
                " low: null, high: 104, margin: -62}"
            ),
            ["620 orders/h", "642 orders/h", "+22 orders/h", "at most +104", "-62 orders/h"],
        ),
        (
            "{unit: '1'}, {baseline: null, canary: null, effect: null, low: null, high: null}",
            ["unknown"] * 5,
        ),
    ],
)
def test_a_reason_is_written_in_one_unit_and_precision(
    window: Window, metric: str, said: list[str]
) -> None:
    found = given_back(window, "words", f"figures({metric})")
    fields = ("baseline", "canary", "effect", "interval", "margin")
    assert [plain(found[field]) for field in fields] == said


def test_ticks_are_round_and_told_exactly(window: Window) -> None:
    assert given_back(window, "axes", "ticks(-8, 4, 5)") == [-7.5, -5, -2.5, 0, 2.5]
    assert given_back(window, "words", "places([-7.5, -5, 0])") == 1
    assert given_back(window, "words", "places([0.02, 0.04])") == 2
    assert given_back(window, "words", "places([20, 40])") == 0
    assert given_back(window, "axes", "ticks(3, 3, 5)") == []
    assert given_back(window, "axes", "ticks(-1e300, 1e300, 4).length") >= 3


@pytest.mark.parametrize(
    ("span", "labels"),
    [
        ("0, 40000", ["00:00:00", "00:00:10", "00:00:20", "00:00:30", "00:00:40"]),
        ("1779314400000, 1779357600000", ["00:00", "03:00", "06:00", "09:00"]),
        ("1304380800000, 1306368000000", ["5 May", "12 May", "19 May", "26 May"]),
        ("0, 63072000000", ["Jan 1970", "Jul 1970", "Jan 1971", "Jul 1971", "Jan 1972"]),
    ],
)
def test_time_ticks_stand_on_round_times(window: Window, span: str, labels: list[str]) -> None:
    found = given_back(window, "axes", f"timeTicks({span}, 5)")
    assert [tick["label"] for tick in found] == labels


def test_the_present_interval_and_the_margin_always_show(window: Window) -> None:
    early = "low: [-9, -1, -.04], high: [9, 1, -.02], effect: [0, .3, -.03], margin: -.005"
    low, high = given_back(window, "axes", f"effectRange({{{early}}})")
    assert low < -0.04
    assert high > 0
    assert high - low < 0.5, "early intervals must not flatten the part that decides"


def test_labels_never_lie_on_one_another(window: Window) -> None:
    labels = "[{x: 0, width: 80}, {x: 10, width: 80}, {x: 20, width: 80}, {x: 120, width: 80}]"
    assert given_back(window, "axes", f"rows({labels}, 2)") == [0, 1, None, 0]
    heights = given_back(window, "axes", "spread([10, 11, 12], 13, 0, 100)")
    assert heights[1] - heights[0] >= 13
    assert heights[2] - heights[1] >= 13


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("order-api", "order-api"),
        ("two words", "'two words'"),
        ("it's", "'it'\\''s'"),
        ("", "''"),
        ("$(id)", "'$(id)'"),
    ],
)
def test_a_word_is_quoted_for_a_shell(window: Window, word: str, quoted: str) -> None:
    assert given_back(window, "arrivals", f"quoted({word!r})") == quoted

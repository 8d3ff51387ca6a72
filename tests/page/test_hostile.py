"""Data made to break the page: markup in names, huge and missing numbers, much of everything."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec
import pytest

from analyzers.judging.verdict import Impact
from dashboards.api.page_data import RELEASES, Evidence, EvidenceMarker
from dashboards.snapshot import EventTally, Tallies
from tests.page.browser import Window, plain
from tests.page.contrast import PALE, POOR
from tests.page.recorded import HOUR, MINUTE, NOW, Effect, Story, orders, story
from tests.page.stage import Stage

pytestmark = pytest.mark.page

MARKUP: Final = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'
LONG: Final = "a-very-long-name-" * 30
NAMED: Final = (LONG, MARKUP, "\u202egnp.exe\u202c", "🚢" * 80, "x\ny\tz", "'\"><svg/onload=hit=1>")


def release_named(name: str) -> Story:
    """A release with one name in every place that takes a name."""
    effects = (
        *orders(change=-0.05, per_hour=500),
        Effect(name, "proportion", 0.99, -0.2, -0.01, 300, segment=((name, name),)),
    )
    deployment = " ".join(name.split())  # a line break has no place in the path of an address
    told = story(
        deployment,
        effects,
        start=NOW - 6 * HOUR,
        end=NOW,
        why=name,
        version=(name, name),
        service=name,
    )
    verdict = msgspec.structs.replace(
        told.release.verdict, owner=name, runbook=f"javascript:{name}", environment=name
    )
    return replace(told, release=replace(told.release, verdict=verdict))


def overflow(window: Window) -> int:
    """How many pixels the page is wider than the window."""
    return int(window.run("return document.documentElement.scrollWidth - innerWidth"))


@pytest.mark.parametrize("name", NAMED, ids=("long", "img", "bidi", "ships", "lines", "quotes"))
def test_a_name_is_text_wherever_it_stands(window: Window, stage: Stage, name: str) -> None:
    stage.show([release_named(name)])
    stage.change(
        events=(EventTally(name, name, name, "ok", 7, NOW * 1_000_000),),
        versions={(name, name, name): (name,)},
        rejected_by_reason={name: 3},
    )
    window.open()
    window.wait(lambda: window.every(".row"))
    shown = window.run("return document.querySelector('.row .service').textContent")
    assert shown == name
    assert window.one(".row .service").get_attribute("title") == name
    assert window.run("return document.querySelector('#arrivals tbody bdi').textContent") == name
    assert overflow(window) <= 0
    window.one(".row").click()
    window.wait(lambda: window.every(".estimate"))
    assert overflow(window) <= 0
    for width in (360, 1360):
        window.look(width=width, height=800, scheme="light")
        window.open(" ".join(name.split()))
        window.wait(lambda: window.every(".estimate"))
        assert overflow(window) <= 0
    assert not window.run("return window.hit")
    assert not window.driver.find_elements("css selector", "body img, body script, svg[onload]")


def test_a_runbook_is_a_link_only_where_it_leads_to_a_web_page(
    window: Window, stage: Stage
) -> None:
    stage.show([release_named("evil")])
    window.open("evil")
    window.wait(lambda: window.every(".facts"))
    assert "javascript:evil" in window.text(".facts")
    assert not window.driver.find_elements("css selector", ".facts a")
    stage.show_four_releases()
    window.open("order-api-1.42.0")
    window.wait(lambda: window.every(".facts a"))
    link = window.one(".facts a")
    assert link.get_attribute("href") == "https://runbooks.example/orders"
    assert link.get_attribute("rel") == "noreferrer noopener"


def test_a_string_is_never_parsed_as_markup_even_by_a_later_slip(window: Window) -> None:
    window.open()
    window.expected = ("TrustedHTML", "This document requires")
    with pytest.raises(Exception, match="requires 'TrustedHTML'"):
        window.run("document.body.innerHTML = '<i>x</i>'")


def test_huge_numbers_are_written_short(window: Window, stage: Stage) -> None:
    stage.show_four_releases()
    big = 2**62
    stage.change(
        tallies=Tallies(big, big, big, big, big, big), rejected_by_reason={"not_json": big}
    )
    told = story(
        "huge", (Effect("query_time", "duration", 1e14, 5.0, 0.1, 9e6),), start=NOW - 9 * HOUR,
        end=NOW, why="huge", impact=Impact(1e18, 0.0, 1e300, "orders"),
    )  # fmt: skip
    stage.show([told], arrivals=False)
    window.open("huge")
    window.wait(lambda: window.every(".estimate"))
    words = plain(window.one("body").text)
    assert "4.6 × 10¹⁸" in words
    assert "For harm 4.7 × 10²⁹⁹ : 1" in words or "× 10²⁹⁹ : 1" in words
    assert "Infinity" not in words
    assert "NaN" not in words
    assert overflow(window) <= 0


def test_missing_numbers_are_unknown_and_never_zero(window: Window, stage: Stage) -> None:
    told = story("gaps", orders(per_hour=200), start=NOW - 9 * HOUR, end=NOW, why="gaps")
    nothing: list[float | None] = [None] * len(told.evidence.metrics[0].at)
    holes = [
        msgspec.structs.replace(
            looks,
            margin=None,
            effect=nothing if i == 0 else [*looks.effect[:20], None, None, *looks.effect[22:]],
            low=nothing if i == 0 else [*looks.low[:20], None, None, *looks.low[22:]],
            high=nothing,
        )
        for i, looks in enumerate(told.evidence.metrics)
    ]
    reasons = [
        msgspec.structs.replace(r, effect=None, low=None, high=None, baseline=None, canary=None)
        for r in told.release.verdict.reasons
    ]
    verdict = msgspec.structs.replace(told.release.verdict, reasons=reasons)
    stage.show([Story(replace(told.release, verdict=verdict), Evidence("gaps", [], holes, []))])
    window.open("gaps")
    window.wait(lambda: window.every(".metric .plot .zero-name"))
    assert "Difference unknown" in window.text(".words")
    assert "NaN" not in str(window.run("return document.querySelector('main').innerHTML"))


def test_one_single_look_is_drawn(window: Window, stage: Stage) -> None:
    told = story("first", orders(per_hour=3000), start=NOW - 10 * MINUTE, end=NOW, why="one look")
    stage.show([told])
    window.open("first")
    window.wait(lambda: window.every(".metric .plot .tick"))
    assert window.driver.find_elements("css selector", ".metric .cursor circle")
    assert "NaN" not in str(window.run("return document.querySelector('main').innerHTML"))


def test_of_two_hundred_releases_the_newest_hundred_stay_usable(
    window: Window, stage: Stage
) -> None:
    names = [f"service-{i % 7} v{i}" for i in range(200)]
    told = [
        story(
            name, orders(per_hour=30), start=NOW - (i + 2) * HOUR, end=NOW - i * HOUR, why=name,
            service=f"service-{i % 7}", version=(f"1.{i}", f"1.{i - 1}"), seed=i,
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    stage.show(told)
    window.open()
    window.wait(lambda: len(window.driver.find_elements("css selector", ".row")) == RELEASES)
    assert window.text(".tally").startswith(f"{RELEASES} releases")
    window.one("input[type=search]").send_keys("service-3 1.99")
    window.wait(lambda: len(window.every(".row")) == 0 or "1.99" in window.text(".row"))
    window.one("input[type=search]").clear()
    window.one("input[type=search]").send_keys("1.99")
    window.wait(lambda: len(window.every(".row")) == 1)
    window.one(".row").click()
    window.wait(lambda: window.every(".release .state"))
    assert "1.99" in window.text(".release h2")
    assert overflow(window) <= 0


def test_a_hundred_segments_stay_usable(window: Window, stage: Stage) -> None:
    effects = tuple(
        Effect(
            "order_submission_success", "proportion", 0.99, -0.5 if i < 9 else 0.0, -0.03, 40,
            segment=(("warehouse", f"W{i:03d}"),),
        )
        for i in range(100)
    )  # fmt: skip
    told = story("wide", (*orders(per_hour=4000), *effects), start=NOW - 9 * HOUR, end=NOW, why="w")
    stage.show([told])
    window.open("wide")
    window.wait(lambda: window.every(".segment-table"))
    harmed = [cell for cell in told.evidence.metrics if cell.state == "degraded" and cell.segment]
    assert len(harmed) >= 7
    panels = window.driver.find_elements("css selector", ".metrics > .metric")
    assert len(panels) == 3 + 6, "each total, and the six worst segments"
    rows = window.driver.find_elements("css selector", ".segment-table tbody")
    assert len(rows) == 10
    assert "degraded" in plain(rows[1].text)
    window.one(".more").click()
    window.wait(
        lambda: len(window.driver.find_elements("css selector", ".segment-table tbody")) == 101
    )
    row = window.one('.segment-table tbody[data-segment="warehouse W042"] .open')
    window.run("arguments[0].scrollIntoView()", row)
    row.click()
    window.wait(lambda: window.every(".opened .estimate"))
    assert row.get_attribute("aria-expanded") == "true"
    assert "warehouse W042" in window.text(".opened .segment")


def test_many_markers_stay_lines_and_the_first_keep_their_names(
    window: Window, stage: Stage
) -> None:
    start = NOW - 9 * HOUR
    markers = tuple(
        EvidenceMarker(start + i * MINUTE, "deployment.shifted", i / 100) for i in range(90)
    )
    stage.show([story("steps", orders(), start=start, end=NOW, why="s", markers=markers)])
    window.open("steps")
    window.wait(lambda: window.every(".estimate"))
    plot = window.one(".metric .plot")
    assert len(plot.find_elements("css selector", "line.marker")) == 90
    assert 1 <= len(plot.find_elements("css selector", ".marker-name")) <= 12


def test_contrast_that_is_too_low_would_be_found(window: Window, stage: Stage) -> None:
    stage.show_four_releases()
    window.open("order-api-1.42.0")
    window.wait(lambda: window.every(".estimate"))
    window.run("document.querySelector('.release .why').style.color = '#999'")
    window.run("document.querySelector('.estimate').closest('svg') && 0")
    window.run("document.querySelector('.plot .estimate').style.stroke = '#ccc'")
    assert [each["class"] for each in window.run(POOR)] == ["why"]
    assert [each["class"] for each in window.run(PALE)] == ["estimate"]

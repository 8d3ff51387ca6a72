"""What holds for the page on any daemon; ``PLIMSOLL_PAGE_URL`` points these at a running one."""

from __future__ import annotations

from typing import Any, Final, Literal

import httpx
import pytest

from dashboards.page import HEADERS
from tests.page.browser import TAB, Window, plain
from tests.page.contrast import PALE, POOR

pytestmark = pytest.mark.page

SCHEMES: Final = ("light", "dark")


def told(window: Window, path: str = "v1/page") -> dict[str, Any]:
    """What the daemon says at a path, now."""
    answer = httpx.get(window.url + path)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def with_evidence(window: Window) -> str:
    """The newest release that has been looked at."""
    for release in told(window)["releases"]:
        name: str = release["verdict"]["deployment"]
        if told(window, f"v1/evidence/{name}")["metrics"]:
            return name
    pytest.skip("no release of this daemon has evidence over time yet")


def test_the_header_says_how_much_has_arrived(live: Window) -> None:
    live.open()
    stats = {"Events so far": "events", "Duplicates": "duplicates", "Late": "late"}
    for label, field in stats.items():
        live.wait(
            lambda label=label, field=field: (  # type: ignore[misc]
                live.one(f'[data-stat="{label}"] b').get_attribute("title")
                == str(told(live)["counts"][field])
            )
        )
    assert "UTC" in (live.one(".stat.time time").get_attribute("title") or "UTC")


def test_the_reasons_of_rejects_open_on_demand(live: Window) -> None:
    live.open()
    assert not live.every(".popup")
    live.one(".rejects summary").click()
    live.wait(lambda: live.every(".popup"))
    for reason, many in told(live)["rejected_by_reason"].items():
        if many:
            assert reason.replace("_", " ") in live.text(".popup")
    live.press("\ue00c")  # Escape
    live.wait(lambda: not live.every(".popup"))


def test_every_release_has_a_row_with_its_verdict_in_words_newest_first(live: Window) -> None:
    releases = told(live.open())["releases"]
    live.wait(lambda: len(live.every(".row")) == len(releases))
    starts = {each["verdict"]["deployment"]: each["started"] for each in releases}
    shown = [row.get_attribute("data-deployment") for row in live.every(".row")]
    assert sorted(map(str, shown)) == sorted(starts)
    assert [starts[str(name)] for name in shown] == sorted(starts.values(), reverse=True)
    for release in releases:
        verdict = release["verdict"]
        row = next(
            row
            for row in live.every(".row")
            if row.get_attribute("data-deployment") == verdict["deployment"]
        )
        words = plain(row.text)
        for said in (verdict["verdict"].replace("_", " "), verdict["action"], verdict["version"]):
            assert said in words
        assert row.find_elements("css selector", ".badge svg *"), "a verdict has a shape too"


def test_a_release_opens_with_its_evidence_drawn_and_in_words(live: Window) -> None:
    name = with_evidence(live)
    live.open(name)
    live.wait(lambda: live.every(".estimate"))
    evidence = told(live, f"v1/evidence/{name}")
    totals = {each["metric"] for each in evidence["metrics"] if not each["segment"] and each["at"]}
    panels = {
        str(panel.get_attribute("data-metric")): panel
        for panel in live.every('.metrics > .metric[data-segment="total"]')
    }
    assert totals <= set(panels)
    for metric in totals:
        panel = panels[metric]
        words = plain(panel.text)
        for label in ("Difference", "Margin", "For harm", "For safety", "needs"):
            assert label in words
        for part in (".band", ".estimate", ".zero", ".margin", "pattern", ".tick"):
            assert panel.find_elements("css selector", f".plot {part}"), f"{metric} has no {part}"
        markers = panel.find_elements("css selector", ".plot line.marker")
        assert len(markers) >= len(evidence["markers"])
    assert len(live.every(".series .plot")) == len(evidence["series"])


def test_the_keyboard_alone_opens_a_release_and_reads_a_chart(live: Window) -> None:
    name = with_evidence(live)
    live.open()
    live.wait(lambda: live.every(".row"))
    for _ in range(8 + len(live.every(".row"))):
        live.press(TAB)
        if live.focused().get_attribute("data-deployment") == name:
            break
    live.press("\ue007")  # Enter
    live.wait(lambda: live.every(".estimate"))
    live.run("document.querySelector('.metric .slider').focus()")
    slider = live.focused()
    latest = int(slider.get_attribute("aria-valuenow") or 0)
    said = slider.get_attribute("aria-valuetext")
    live.press("\ue012")  # left
    assert int(slider.get_attribute("aria-valuenow") or 0) == max(0, latest - 1)
    live.press("\ue011")  # Home
    assert slider.get_attribute("aria-valuenow") == "0"
    if latest:
        assert slider.get_attribute("aria-valuetext") != said
    assert plain(str(slider.get_attribute("aria-valuetext"))) in live.text(".metric .chart")


def test_the_pointer_reads_a_chart(live: Window) -> None:
    live.open(with_evidence(live))
    live.wait(lambda: live.every(".estimate"))
    slider = live.one(".metric .slider")
    live.run(
        "const box = arguments[0].getBoundingClientRect();"
        "arguments[0].dispatchEvent(new PointerEvent('pointermove',"
        " {bubbles: true, clientX: box.left + 5, clientY: box.top + 9}))",
        slider,
    )
    assert slider.get_attribute("aria-valuenow") == "0"
    assert slider.find_elements("css selector", ".cursor line")
    live.run("arguments[0].dispatchEvent(new PointerEvent('pointerleave'))", slider)
    assert slider.get_attribute("aria-valuenow") == slider.get_attribute("aria-valuemax")


def test_a_phone_shows_list_or_release_and_never_scrolls_sideways(live: Window) -> None:
    name = with_evidence(live)
    live.look(width=360, height=780, scheme="light")
    live.open(name)
    live.wait(lambda: live.every(".estimate"))
    wide = "return document.documentElement.scrollWidth - innerWidth"
    assert not live.every(".list")
    assert live.run(wide) <= 0
    live.one(".back").click()
    live.wait(lambda: live.every(".list"))
    assert not live.every(".release")
    assert live.run(wide) <= 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_and_every_line_that_means_something_has_contrast_enough(
    live: Window, scheme: Literal["light", "dark"]
) -> None:
    live.look(width=1360, height=900, scheme=scheme)
    for deployment in (None, with_evidence(live)):
        live.open(deployment)
        live.wait(lambda deployment=deployment: live.every(".estimate" if deployment else ".row"))  # type: ignore[misc]
        assert live.run(POOR) == []
        assert live.run(PALE) == []


@pytest.mark.parametrize("path", ["", "page/page.js", "page/page.css", "page/favicon.svg"])
def test_each_file_comes_with_headers_that_keep_it_safe(live: Window, path: str) -> None:
    answer = httpx.get(live.url + path)
    assert answer.status_code == 200
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    again = httpx.get(live.url + path, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert not again.content


def test_no_way_leads_from_the_page_to_another_file(live: Window) -> None:
    for path in ("page/__init__.py", "page/..%2f__init__.py", "page/nothing.js", "page/"):
        assert httpx.get(live.url + path).status_code == 404

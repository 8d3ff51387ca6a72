"""The states a page can be in: nothing yet, no release, quiet, out of reach, unchanged, hidden."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import msgspec
import pytest

from analyzers.judging.verdict import FixedRuleVerdict
from dashboards.snapshot import EventTally
from pipeline.cli import mark
from tests.page.browser import Window, plain
from tests.page.recorded import NOW, four_releases
from tests.page.stage import Fault, Stage

pytestmark = pytest.mark.page


def as_a_shell_reads_it(command: str) -> list[str]:
    """The words that a shell hands to the program of a command, without running the program."""
    fake = 'curl() { printf "%s\\0" "$@"; }; plimsoll() { printf "%s\\0" "$@"; }; '
    ran = subprocess.run(["bash", "-c", fake + command], capture_output=True, check=True)
    assert not ran.stderr
    return ran.stdout.decode().split("\0")[:-1]


def command(window: Window, title: str) -> list[str]:
    """The words of the command that stands below a heading."""
    box = next(box for box in window.every(".command") if box.text.startswith(title))
    return as_a_shell_reads_it(
        str(box.find_element("css selector", "code").get_property("textContent"))
    )


def test_before_anything_arrives_the_page_says_how_to_send_a_first_event(window: Window) -> None:
    window.open()
    assert window.text("#arrivals-title") == "Nothing has arrived yet"
    words = command(window, "Send a first event")
    assert f"{window.url}v1/events" in words
    event = json.loads(words[words.index("-d") + 1])
    assert event["type"] == "order.submitted"
    assert event["time"].endswith("Z")
    assert not window.every(".list")
    assert not window.every("#arrivals table")


def test_while_no_release_is_known_the_page_says_what_arrives_and_how_to_mark_one(
    window: Window, stage: Stage
) -> None:
    stage.show_arrivals()
    window.open()
    assert window.text("#arrivals-title") == "No release is known yet"
    assert "order.confirmed" in window.text("#arrivals table")
    assert "112,870" in window.text("#arrivals table")
    words = command(window, "From a shell")
    assert words[:2] == ["mark", "started"]
    said = mark.make_context("mark", words[1:]).params
    assert said["service"] == "order-api"
    assert said["release"] == "1.42.0"
    assert said["replaces"] == "1.41.3"
    assert said["share"] == 0.1
    assert said["url"] == window.url.rstrip("/")


def test_the_curl_that_marks_a_release_sends_the_same_marker(window: Window, stage: Stage) -> None:
    stage.show_arrivals()
    window.open()
    words = command(window, "The same over HTTP")
    assert f"{window.url}v1/markers" in words
    marker = json.loads(words[words.index("-d") + 1])
    assert marker["type"] == "deployment.started"
    assert marker["deployment"] == "order-api-1.42.0"
    assert marker["service"] == "order-api"
    assert (marker["version"], marker["replaces"]) == ("1.42.0", "1.41.3")


def test_a_stream_of_the_past_gets_a_marker_of_its_own_time(window: Window, stage: Stage) -> None:
    stage.show_arrivals()
    stage.change(now_ns=1_300_000_000_000_000_000)
    window.open()
    said = mark.make_context("mark", command(window, "From a shell")[1:]).params
    assert said["said_time"] == "2011-03-13T07:06:40Z"


def test_with_one_version_only_the_new_one_is_left_open(window: Window, stage: Stage) -> None:
    stage.change(
        events=(EventTally("staging", "wms", "query.executed", "ok", 5, NOW * 1_000_000),),
        versions={("staging", "wms", "query.executed"): ("3.1",)},
    )
    window.open()
    said = mark.make_context("mark", command(window, "From a shell")[1:]).params
    assert (said["release"], said["replaces"]) == ("NEW_VERSION", "3.1")
    assert said["environment"] == "staging"
    assert "NEW_VERSION" in window.text("#arrivals .lead")


def test_a_name_made_for_a_shell_is_only_a_word_in_the_command(
    window: Window, stage: Stage
) -> None:
    evil = 'a\'; touch /tmp/plimsoll-was-here; echo $(id) "`id`" \\'
    stage.change(
        events=(EventTally("production", evil, "order.submitted", "ok", 5, NOW * 1_000_000),),
        versions={("production", evil, "order.submitted"): ("1", "$(id)")},
    )
    window.open()
    words = command(window, "From a shell")
    assert words[words.index("--service") + 1] == evil
    assert "$(id)" in words
    marker = json.loads(command(window, "The same over HTTP")[-1])
    assert marker["service"] == evil


def test_a_quiet_stream_is_said_to_be_quiet(window: Window, stage: Stage) -> None:
    stage.show_four_releases()
    stage.change(quiet_s=250.0)
    window.open()
    window.wait(lambda: window.every("#notice"))
    assert "no event has arrived for 4 min 10 s" in window.text("#notice")
    stage.change(quiet_s=1.0)
    window.after_polls(lambda: not window.every("#notice"))


def test_judging_far_behind_the_stream_is_said(window: Window, stage: Stage) -> None:
    stage.show_four_releases()
    stage.change(watermark_ns=(NOW - 3_600_000) * 1_000_000)
    window.open()
    window.wait(lambda: window.every("#notice"))
    assert "1 h behind the newest event" in window.text("#notice")


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(503), "it answers 503"),
        (Fault(200, b"<html>a proxy's own page</html>"), "its answer is not JSON"),
        (Fault(200, b""), "its answer is not JSON"),
        (Fault(200, b"null"), "its answer is no object"),
    ],
)
def test_out_of_reach_the_last_picture_stays_and_says_since_when(
    window: Window, stage: Stage, fault: Fault, why: str
) -> None:
    window.expected = ("v1/page",)
    stage.show_four_releases()
    window.open("order-api-1.42.0")
    window.wait(lambda: window.every(".estimate"))
    stage.fault = fault
    window.after_polls(lambda: "The server has not answered since" in window.text("#notice"))
    assert why in window.text("#notice")
    assert "21 May 2026, 09:59:30 UTC" in window.text("#notice")
    assert window.every(".estimate"), "the last picture stays"
    stage.fault = None
    window.after_polls(lambda: not window.every("#notice"))
    assert window.every(".estimate")


def test_out_of_reach_from_the_start_the_page_says_so(window: Window, stage: Stage) -> None:
    window.expected = ("v1/page",)
    stage.fault = Fault(500)
    window.open()
    assert "it answers 500" in window.text("#notice")
    assert "Nothing to show yet" in window.text("#loading")
    stage.fault = None
    window.after_polls(lambda: window.every("#view"))


def test_an_answer_without_any_field_is_an_empty_page(window: Window, stage: Stage) -> None:
    stage.fault = Fault(200, b"{}")
    window.open()
    window.wait(lambda: window.every("#arrivals-title"))
    assert window.text("#arrivals-title") == "Nothing has arrived yet"


def test_an_unknown_release_in_the_address_is_said_to_be_unknown(
    window: Window, stage: Stage
) -> None:
    stage.show_four_releases()
    window.open("no such <b>release</b>")
    window.wait(lambda: window.every(".release"))
    assert "no such <b>release</b>” is known here" in window.text(".release .plain")
    assert "no such" not in " ".join(stage.asked)


def test_a_release_without_evidence_yet_still_shows_its_reasons(
    window: Window, stage: Stage
) -> None:
    silent = four_releases()[-1]
    stage.show([silent])
    window.open(silent.evidence.deployment)
    window.wait(lambda: window.every(".quiet"))
    assert "no data" in window.text(".quiet")
    assert "order submission success (baseline 0, canary 0)" in window.text(".quiet")
    assert "no order of the canary has arrived" in window.text(".quiet")


def test_what_has_not_changed_is_not_drawn_again(window: Window, stage: Stage) -> None:
    stage.show_four_releases()
    window.open("order-api-1.42.0")
    window.wait(lambda: window.every(".estimate"))
    window.after_polls()
    window.run(
        "window.seen = [];"
        "new MutationObserver((all) => seen.push(...all.map(({target}) => target.nodeName)))"
        ".observe(document.body, {subtree: true, childList: true, attributes: true,"
        " characterData: true})"
    )
    asked = len(stage.asked)
    window.after_polls()
    assert window.run("return seen") == []
    assert len(stage.asked) == asked, "evidence is asked for again only when time has moved"
    stage.change(watermark_ns=NOW * 1_000_000)
    window.after_polls(lambda: "10:00:00" in window.text(".stat.time"))
    assert set(window.run("return seen")) <= {"TIME", "#text"}
    assert len(stage.asked) > asked


def test_a_new_verdict_appears_and_what_was_open_stays_open(window: Window, stage: Stage) -> None:
    still, bad, good, silent = four_releases()
    stage.show([still, good, silent])
    window.open("pricing-2.7.1")
    window.wait(lambda: window.every(".estimate"))
    window.run("document.querySelector('.metric .slider').focus()")
    stage.show([still, bad, good, silent])
    window.after_polls(lambda: len(window.every(".row")) == 4)
    assert window.focused().get_attribute("class") == "slider"
    assert "1 degraded" in str(window.run("return document.title"))


def test_a_hidden_page_asks_for_nothing_until_it_is_seen_again(
    window: Window, stage: Stage
) -> None:
    stage.show_four_releases()
    window.open()
    seen = (
        "Object.defineProperty(document, 'hidden', {configurable: true, get: () => !arguments0});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    window.wait(lambda: window.polls() >= 3)  # by its own clock
    window.run(seen.replace("arguments0", "false"))
    asked = window.polls()
    # Timers fire in order: when one set now for later than two polls fires, none was missed.
    window.run("window.later = 0; setTimeout(() => { later = 1 }, 5000)")
    window.wait(lambda: window.run("return later"))
    assert window.polls() <= asked + 1, "at most the poll that was under way"
    window.run(seen.replace("arguments0", "true"))
    window.wait(lambda: window.polls() > asked + 1)


def test_a_copied_command_says_that_it_was_copied(window: Window) -> None:
    window.open()
    window.one(".copy").click()
    window.wait(lambda: plain(window.one(".copied").text))
    assert window.text(".copied") in ("Copied", "Selected: press Ctrl+C")


def test_counts_have_a_lane_for_each_arm_and_levels_share_one_axis(
    window: Window, stage: Stage
) -> None:
    stage.show_four_releases()
    window.open("order-api-1.42.0")
    window.wait(lambda: len(window.every(".series .plot")) == 3)
    counts, levels, _ = window.every(".series")
    assert plain(counts.text).startswith("order throughput orders, every 30 min")
    assert counts.find_elements("css selector", ".area.baseline")
    assert counts.find_elements("css selector", ".area.canary")
    assert plain(levels.text).startswith("order submission success share, every 30 min")
    assert not levels.find_elements("css selector", ".area")
    for chart in (counts, levels):
        names = {name.text for name in chart.find_elements("css selector", ".edge")}
        assert names == {"baseline", "canary"}
        assert chart.find_elements("css selector", "line.marker")


def test_harm_without_an_interval_is_told_in_words_alone(window: Window, stage: Stage) -> None:
    told = four_releases()[-1]
    silence = msgspec.structs.replace(
        told.release.verdict.reasons[0],
        metric="order_flow",
        state="degraded",
        gates=False,
        e_value=5e4,
        detail="canary seen in 0 slices, baseline in 40",
    )
    never = msgspec.structs.replace(silence, metric="queue_depth", state="not_observed", detail="")
    verdict = msgspec.structs.replace(told.release.verdict, reasons=[silence, never])
    stage.show([replace(told, release=replace(told.release, verdict=verdict))])
    window.open(told.evidence.deployment)
    window.wait(lambda: window.every(".metric"))
    assert "canary seen in 0 slices, baseline in 40" in window.text(".metric")
    assert "For harm 50,000 : 1" in window.text(".metric")
    assert not window.every(".metric .plot")
    assert window.text(".quiet summary") == (
        "1 metric not observed for this service: they hold nothing up"
    )
    window.one(".quiet summary").click()
    window.wait(lambda: "queue depth" in window.text(".quiet"))


def test_a_policy_that_only_observes_says_so_in_the_list_and_in_the_detail(
    window: Window, stage: Stage
) -> None:
    told = four_releases()[-1]
    ruled = FixedRuleVerdict("degraded", ["order_submission_success"])
    verdict = msgspec.structs.replace(
        told.release.verdict, mode="observe", action="wait", fixed_rule=ruled
    )
    stage.show([replace(told, release=replace(told.release, verdict=verdict))])
    window.open()
    window.wait(lambda: window.every(".row .meta"))
    assert "observed only" in window.text(".row .meta")
    window.open(told.evidence.deployment)
    window.wait(lambda: window.every(".facts"))
    facts = window.text(".facts")
    assert "every gate answers wait" in facts
    assert "order submission success" in facts
    assert window.text(".state .action") == "wait"

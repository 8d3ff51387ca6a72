"""The demo's story: real orders left as they are, everything else drawn from the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

import msgspec
import pytest

from analyzers.judging.verdict import Action
from pipeline.demo.orders import Order, shipped_orders
from pipeline.demo.story import DayBatch, Dials, Injection, Story, draw, releases

ORDERS = shipped_orders()


class Line(msgspec.Struct):
    id: str
    time: datetime
    type: str
    version: str
    service: str
    track: str = ""
    outcome: str = ""
    value: float = 0.0
    ref: str = ""
    subject: str = ""
    share: float = 0.0
    replaces: str = ""
    deployment: str = ""
    attributes: dict[str, str] = msgspec.field(default_factory=dict)


def lines(batch: DayBatch) -> list[Line]:
    return [msgspec.json.decode(line, type=Line) for line in (*batch.markers, *batch.events)]


def told(
    dials: Dials, *, by: dict[str, Action] | None = None, after: int = 10
) -> tuple[DayBatch, ...]:
    """The whole story; each deployment named in ``by`` is decided ``after`` so many days."""
    return _told(dials, tuple((by or {}).items()), after)


@cache
def _told(dials: Dials, by: tuple[tuple[str, Action], ...], after: int) -> tuple[DayBatch, ...]:
    story, decisions = Story.of(ORDERS, releases(), dials), dict(by)
    batches: list[DayBatch] = []
    action: Action | None = None
    while (batch := story.next_batch(action)) is not None:
        batches.append(batch)
        decided = batch.release is not None and batch.tally.days >= after
        action = decisions.get(batch.release.deployment) if decided and batch.release else "wait"
    return tuple(batches)


def events(batches: Sequence[DayBatch], type_: str) -> list[Line]:
    return [line for batch in batches for line in lines(batch) if line.type == type_]


def test_every_order_is_submitted_once_with_its_real_time_amount_customer_and_country() -> None:
    seen = {line.id: line for line in events(told(Dials()), "order.submitted")}
    assert len(seen) == len(ORDERS)
    for order in ORDERS:
        line = seen[f"o-{order.invoice}"]
        assert line.time == datetime.fromtimestamp(order.time_s, UTC)
        assert line.value == order.pence / 100
        assert line.subject == order.subject
        assert line.attributes == {"country": order.country}


def test_lines_come_in_order_of_time_even_when_releases_end_early() -> None:
    batches = told(Dials(), by={"d-101": "promote", "d-102": "rollback"}, after=3)
    times = [line.time for batch in batches for line in lines(batch)]
    assert all(one <= other for one, other in pairwise(times))


def test_a_confirmation_refers_to_its_submission_and_says_the_seconds_since() -> None:
    batches = told(Dials())
    submitted = {line.id: line for line in events(batches, "order.submitted")}
    confirmed = events(batches, "order.confirmed")
    for line in confirmed:
        asked = submitted[line.ref]
        assert asked.outcome == "ok"
        assert line.time - asked.time == timedelta(seconds=line.value)
        assert (line.version, line.track, line.subject) == (
            asked.version,
            asked.track,
            asked.subject,
        )
    assert len(confirmed) == sum(line.outcome == "ok" for line in submitted.values())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_split() -> None:
    assert _told.__wrapped__(Dials(), (), 10) == told(Dials())
    canary = [
        {
            line.id
            for line in events(told(Dials(seed=seed)), "order.submitted")
            if line.track == "canary"
        }
        for seed in (1, 2)
    ]
    shared = len(canary[0] & canary[1]) / len(canary[0])
    assert 0.4 < shared < 0.6


def test_a_customer_keeps_its_side_within_a_release_and_is_drawn_anew_for_the_next() -> None:
    sides: dict[tuple[str, str], set[str]] = {}
    for batch in told(Dials()):
        for line in lines(batch):
            if line.track and batch.release:
                key = (batch.release.deployment, line.subject)
                sides.setdefault(key, set()).add(line.track)
    assert all(len(tracks) == 1 for tracks in sides.values())
    first = {subject: min(t) for (name, subject), t in sides.items() if name == "d-101"}
    third = {subject: min(t) for (name, subject), t in sides.items() if name == "d-103"}
    both = first.keys() & third.keys()
    moved = sum(first[subject] != third[subject] for subject in both)
    assert 0.4 < moved / len(both) < 0.6


def test_the_split_is_near_the_declared_share_in_every_release() -> None:
    for line in events(told(Dials()), "deployment.started"):
        assert line.share == 0.5
    tracks = Counter(
        (batch.release.deployment, line.track)
        for batch in told(Dials())
        for line in lines(batch)
        if batch.release and line.type == "order.submitted"
    )
    for release in releases():
        canary = tracks[release.deployment, "canary"]
        assert canary / (canary + tracks[release.deployment, "baseline"]) == pytest.approx(
            0.5, abs=0.05
        )


def rejected(batches: Sequence[DayBatch], injection: Injection, track: str, country: str) -> float:
    outcomes = [
        line.outcome != "ok"
        for batch in batches
        if batch.release and batch.release.injection is injection
        for line in lines(batch)
        if line.type == "order.submitted"
        and line.track == track
        and line.attributes["country"] == country
    ]
    return sum(outcomes) / len(outcomes)


def test_the_bad_canary_rejects_the_named_country_and_nobody_else() -> None:
    batches = told(Dials(country="France", harm_country=0.9))
    bad = Injection.REJECT_COUNTRY
    assert rejected(batches, bad, "canary", "France") > 0.75
    assert rejected(batches, bad, "baseline", "France") < 0.1
    assert rejected(batches, bad, "canary", "Germany") < 0.1
    assert rejected(batches, bad, "canary", "United Kingdom") < 0.03


def median_s(batches: Sequence[DayBatch], injection: Injection, track: str) -> float:
    values = sorted(
        line.value
        for batch in batches
        if batch.release and batch.release.injection is injection
        for line in lines(batch)
        if line.type == "order.confirmed" and line.track == track
    )
    return values[len(values) // 2]


def test_the_slow_canary_takes_the_dialled_share_longer_and_good_ones_do_not() -> None:
    slow, good = Injection.SLOW_CONFIRMATION, Injection.NOTHING
    batches = told(Dials(slow=1.0))
    assert median_s(batches, slow, "canary") / median_s(batches, slow, "baseline") > 1.8
    assert median_s(batches, good, "canary") / median_s(batches, good, "baseline") < 1.1


def test_with_both_dials_at_zero_no_release_differs_from_a_good_one() -> None:
    batches = told(Dials(slow=0, harm_country=0))
    bad, slow = Injection.REJECT_COUNTRY, Injection.SLOW_CONFIRMATION
    assert rejected(batches, bad, "canary", "Germany") < 0.1
    assert median_s(batches, slow, "canary") / median_s(batches, slow, "baseline") < 1.1


def test_what_is_injected_is_said_in_words_and_a_dial_at_zero_injects_nothing() -> None:
    said = [release.injected(Dials(country="France")) for release in releases()]
    assert [words for words in said if words != "nothing"] == [
        "confirms 50% slower",
        "rejects 90% of the orders from France",
    ]
    assert {one.injected(Dials(harm_country=0, slow=0)) for one in releases()} == {"nothing"}


def test_a_rollback_brings_the_old_version_back_and_a_promotion_the_new_one() -> None:
    decided: dict[str, Action] = {"d-101": "promote", "d-102": "rollback"}
    batches = told(Dials(), by=decided)
    markers = [line for batch in batches for line in lines(batch) if line.deployment]
    kinds = {(line.deployment, line.type.removeprefix("deployment.")) for line in markers}
    assert {("d-101", "finished"), ("d-102", "rolled_back")} <= kinds
    replaces = {line.deployment: line.replaces for line in markers if line.replaces}
    assert replaces["d-101"] == "1.0.0"
    assert replaces["d-102"] == replaces["d-103"] == "1.1.0"
    between = [batch for batch in batches if batch.release is None and batch.tally.days]
    versions = {line.version for line in events(between, "order.submitted")}
    assert versions == {"1.1.0"}


def test_a_release_that_stays_undecided_ends_failed_when_its_watch_is_over() -> None:
    batches = told(Dials())
    ended = [batch.ended.deployment for batch in batches if batch.ended]
    assert ended == [release.deployment for release in releases()]
    assert not events(batches, "deployment.rolled_back")
    assert {line.version for line in events(batches, "order.submitted") if not line.track} == {
        "1.0.0"
    }


def test_the_tally_counts_the_orders_of_both_arms_and_the_days() -> None:
    batches = told(Dials(), by={"d-101": "rollback"}, after=5)
    last = next(batch for batch in reversed(batches) if batch.release == releases()[0])
    assert last.tally.days == 5
    counted = Counter(
        line.track
        for batch in batches
        if batch.release == releases()[0]
        for line in lines(batch)
        if line.type == "order.submitted"
    )
    assert counted == {"canary": last.tally.canary, "baseline": last.tally.baseline}


def test_a_promotion_waits_until_the_release_has_baked_and_a_rollback_does_not() -> None:
    batches = told(Dials(), by={"d-101": "promote", "d-102": "rollback"}, after=3)
    ended = {batch.ended.deployment: batch.day for batch in batches if batch.ended}
    first, second = releases()[:2]
    assert first.baked <= ended["d-101"] < first.end
    assert ended["d-102"] < second.start + timedelta(days=10)


def test_no_two_watches_of_the_plan_overlap_and_all_lie_within_the_data() -> None:
    plan = releases()
    assert all(one.end <= other.start for one, other in pairwise(plan))
    assert plan[-1].end <= datetime.fromtimestamp(ORDERS[-1].time_s, UTC).date()
    assert sum(release.injection is Injection.NOTHING for release in plan) >= 2


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_dial_out_of_range_names_itself_and_the_range(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"harm-country is .*: a fraction from 0 to 1"):
        Dials(harm_country=fraction)
    with pytest.raises(ValueError, match=r"slow is .*: a fraction from 0 to 10"):
        Dials(slow=-1.0)


def test_a_country_without_orders_is_refused_with_those_that_have_some() -> None:
    with pytest.raises(ValueError, match=r"no order comes from 'Atlantis'.*Germany"):
        Story.of(ORDERS, releases(), Dials(country="Atlantis"))


def test_draws_are_even_between_zero_and_one() -> None:
    drawn = [draw(1, "x", number) for number in range(4000)]
    assert min(drawn) > 0
    assert max(drawn) < 1
    assert sum(drawn) / len(drawn) == pytest.approx(0.5, abs=0.02)


def test_the_shipped_orders_are_in_order_and_positive() -> None:
    assert all(one.time_s <= other.time_s for one, other in pairwise(ORDERS))
    assert all(order.pence > 0 and order.lines > 0 and order.country for order in ORDERS)
    assert len({order.invoice for order in ORDERS}) == len(ORDERS)


def test_an_order_without_customer_is_its_own_subject() -> None:
    order = Order(1, 0, None, "France", 1, 100)
    assert order.subject == "invoice-1"

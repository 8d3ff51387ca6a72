"""Notices go out at least once, in order for each deployment, with patience and never for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from analyzers.facts import NS_PER_S
from analyzers.judging.verdict import Alert
from collector.keeping.checkpoint import Bounds, Checkpoint, Entry, NewNotice, QueuedNotice
from dashboards.outbox import (
    Channel,
    Delivered,
    Later,
    Notice,
    Outcome,
    Patience,
    Refused,
    Sent,
    Store,
    alert_in,
    deliver_due,
    keep_delivering,
    key_of,
    pause_ns,
    payload_of,
)

ALERT = Alert(
    deployment="d-42",
    status="firing",
    at="2026-05-21T10:00:00Z",
    summary="order-api 1.42.0 is degraded",
    description="one of eight orders is rejected",
    labels={"service": "order-api"},
    annotations={},
)


@dataclass
class Scripted:
    """A channel that answers as it is told, then ``Sent``, and writes down what it was given."""

    answers: list[Outcome] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    at_once: int = 0
    busiest: int = 0

    async def deliver(self, notice: Notice, _now_ns: int, /) -> Outcome:
        self.at_once += 1
        self.busiest = max(self.busiest, self.at_once)
        await asyncio.to_thread(int)  # others have their turn meanwhile
        self.at_once -= 1
        self.heard.append(notice.key)
        return self.answers.pop(0) if self.answers else Sent()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Checkpoint]:
    with Checkpoint.open(tmp_path, bounds=Bounds(outbox=5)) as checkpoint:
        yield checkpoint


def queue(store: Checkpoint, *keys: str, channel: str = "hook", deployment: str = "d") -> None:
    notices = tuple(NewNotice(key, channel, deployment, b"payload") for key in keys)
    store.commit(Entry(notices=notices))


def deliver(store: Store, channel: Channel, now_ns: int = 0, **channels: Channel) -> Delivered:
    return asyncio.run(deliver_due(store, {"hook": channel, **channels}, now_ns))


def states(store: Checkpoint) -> dict[str, str]:
    return {notice.key: notice.state for notice in reversed(store.notices())}


def notice(store: Checkpoint, key: str) -> QueuedNotice:
    (found,) = [notice for notice in store.notices() if notice.key == key]
    return found


def test_what_is_due_goes_out_once_and_in_order(store: Checkpoint) -> None:
    channel = Scripted()
    queue(store, "a", "b")
    queue(store, "c")
    assert deliver(store, channel) == Delivered(sent=3)
    assert deliver(store, channel) == Delivered()
    assert channel.heard == ["a", "b", "c"]
    assert states(store) == {"a": "delivered", "b": "delivered", "c": "delivered"}


def test_a_notice_queued_again_under_its_key_is_the_same_notice(store: Checkpoint) -> None:
    channel = Scripted()
    queue(store, "a")
    deliver(store, channel)
    queue(store, "a", "a")
    assert deliver(store, channel) == Delivered()
    queue(store, "a", channel="other")
    assert len(store.notices()) == 2


def test_a_notice_that_fails_holds_back_the_later_ones_of_its_deployment_only(
    store: Checkpoint,
) -> None:
    channel = Scripted(answers=[Later("down")])
    queue(store, "a1", "a2", deployment="a")
    queue(store, "b1", deployment="b")
    assert deliver(store, channel, now_ns=0) == Delivered(sent=1, postponed=1)
    assert channel.heard == ["a1", "b1"]
    assert deliver(store, channel, now_ns=NS_PER_S) == Delivered(sent=2)
    assert channel.heard == ["a1", "b1", "a1", "a2"]


def test_a_channel_that_is_down_does_not_hold_back_another(store: Checkpoint) -> None:
    down, up = Scripted(answers=[Later("down")]), Scripted()
    queue(store, "a", channel="hook")
    queue(store, "a", channel="pager")
    assert deliver(store, down, pager=up) == Delivered(sent=1, postponed=1)
    assert (down.heard, up.heard) == (["a"], ["a"])


def test_a_failure_is_kept_with_its_reason_and_tried_again_after_the_pause(
    store: Checkpoint,
) -> None:
    channel = Scripted(answers=[Later("503 overloaded"), Later("503 still")])
    queue(store, "a")
    deliver(store, channel, now_ns=0)
    first = notice(store, "a")
    assert (first.state, first.attempts, first.error) == ("waiting", 1, "503 overloaded")
    assert first.due_ns == pause_ns("a", 1, Patience())
    assert deliver(store, channel, now_ns=first.due_ns - 1) == Delivered()
    deliver(store, channel, now_ns=first.due_ns)
    second = notice(store, "a")
    assert (second.attempts, second.error) == (2, "503 still")
    assert second.due_ns == first.due_ns + pause_ns("a", 2, Patience())


def test_a_receiver_that_asks_for_patience_gets_it(store: Checkpoint) -> None:
    queue(store, "a")
    deliver(store, Scripted(answers=[Later("429", after_s=90.0)]), now_ns=7)
    assert notice(store, "a").due_ns == 7 + 90 * NS_PER_S


def test_a_refused_notice_is_given_up_at_once_and_stays_visible(store: Checkpoint) -> None:
    channel = Scripted(answers=[Refused("404 no such hook")])
    queue(store, "a", "b")
    assert deliver(store, channel) == Delivered(sent=1, given_up=1)
    given_up = notice(store, "a")
    assert (given_up.state, given_up.error, given_up.due_ns) == (
        "given_up",
        "404 no such hook",
        None,
    )
    assert channel.heard == ["a", "b"]
    assert store.counts().outbox_given_up == 1


def test_a_notice_is_given_up_after_so_many_tries_and_the_next_one_goes(store: Checkpoint) -> None:
    channel = Scripted(answers=[Later("down")] * 3)
    queue(store, "a", "b")
    patience = Patience(tries=3)
    for second in range(4):
        asyncio.run(
            deliver_due(store, {"hook": channel}, second * 1000 * NS_PER_S, patience=patience)
        )
    assert channel.heard == ["a", "a", "a", "b"]
    assert states(store) == {"a": "given_up", "b": "delivered"}
    assert notice(store, "a").attempts == 3


def test_a_channel_that_is_not_configured_is_named(store: Checkpoint) -> None:
    queue(store, "a", channel="pager")
    assert deliver(store, Scripted()) == Delivered(given_up=1)
    assert notice(store, "a").error == "no channel 'pager' is configured (configured: hook)"


def test_what_was_sent_but_not_noted_goes_out_again(store: Checkpoint) -> None:
    class Crash(Exception):  # noqa: N818
        """The process dies between the delivery and its note."""

    class Crashing:
        def due(self, now_ns: int, /) -> Sequence[Notice]:
            return store.due(now_ns)

        def delivered(self, _notice: int, _now_ns: int, _again_ns: int | None, /) -> None:
            raise Crash

        def failed(self, _notice: int, error: str, _next_due_ns: int | None, /) -> None:
            raise AssertionError(error)

    channel = Scripted()
    queue(store, "a")
    with pytest.raises(Crash):
        deliver(Crashing(), channel)
    assert deliver(store, channel) == Delivered(sent=1)
    assert channel.heard == ["a", "a"]


def test_deliveries_overlap_only_up_to_a_limit(tmp_path: Path) -> None:
    channel = Scripted()
    with Checkpoint.open(tmp_path) as store:
        for number in range(30):
            queue(store, f"{number}", deployment=f"{number}")
        assert deliver(store, channel) == Delivered(sent=30)
    assert 1 < channel.busiest <= 8


def test_an_alert_that_repeats_is_said_again_until_a_newer_notice(store: Checkpoint) -> None:
    channel = Scripted(answers=[Sent(again_s=10.0), Sent(again_s=10.0)])
    queue(store, "firing")
    assert deliver(store, channel, now_ns=0) == Delivered(sent=1)
    assert deliver(store, channel, now_ns=9 * NS_PER_S) == Delivered()
    assert deliver(store, channel, now_ns=10 * NS_PER_S) == Delivered(repeated=1)
    assert notice(store, "firing").sent_ns == 0
    queue(store, "resolved")
    assert deliver(store, channel, now_ns=20 * NS_PER_S) == Delivered(sent=1)
    assert deliver(store, channel, now_ns=1000 * NS_PER_S) == Delivered()
    assert channel.heard == ["firing", "firing", "resolved"]


def test_a_repeat_in_flight_while_it_is_resolved_does_not_repeat_again(store: Checkpoint) -> None:
    class Resolving(Scripted):
        async def deliver(self, notice: Notice, now_ns: int, /) -> Outcome:
            if now_ns == 10 * NS_PER_S and notice.key == "firing":
                await asyncio.to_thread(queue, store, "resolved")
            return await super().deliver(notice, now_ns)

    again: Outcome = Sent(again_s=10.0)
    channel = Resolving(answers=[again, again, Sent()])
    queue(store, "firing")
    deliver(store, channel, now_ns=0)
    deliver(store, channel, now_ns=10 * NS_PER_S)
    deliver(store, channel, now_ns=1000 * NS_PER_S)
    assert channel.heard == ["firing", "firing", "resolved"]


@pytest.mark.parametrize("trouble", [Later("down"), Refused("400")])
def test_a_repeat_that_fails_is_never_given_up(store: Checkpoint, trouble: Outcome) -> None:
    channel = Scripted(answers=[Sent(again_s=10.0), *[trouble] * 100, Sent(again_s=10.0)])
    queue(store, "firing")
    for moment in range(102):
        deliver(store, channel, now_ns=moment * 301 * NS_PER_S)
    assert len(channel.heard) == 102
    kept = notice(store, "firing")
    assert (kept.state, kept.failures, kept.error) == ("delivered", 0, "")


def test_an_overfull_outbox_gives_up_its_oldest_and_says_so(store: Checkpoint) -> None:
    queue(store, *(f"{number}" for number in range(8)))
    counts = store.counts()
    assert (counts.outbox_waiting, counts.outbox_given_up, counts.outbox_overflowed) == (5, 3, 3)
    assert notice(store, "0").error == "more than 5 notices were waiting"
    channel = Scripted()
    deliver(store, channel)
    assert channel.heard == ["3", "4", "5", "6", "7"]


def test_finished_notices_are_kept_up_to_the_bound(store: Checkpoint) -> None:
    for number in range(12):
        queue(store, f"{number}")
        deliver(store, Scripted())
    assert list(states(store)) == ["6", "7", "8", "9", "10", "11"]


def test_repeating_alerts_are_not_pruned_with_the_finished_ones(store: Checkpoint) -> None:
    queue(store, "firing", deployment="old")
    deliver(store, Scripted(answers=[Sent(again_s=1e6)]))
    for number in range(12):
        queue(store, f"{number}")
        deliver(store, Scripted())
    assert "firing" in states(store)
    assert deliver(store, Scripted(), now_ns=10**6 * NS_PER_S) == Delivered(repeated=1)


def test_the_delivery_runs_with_the_clock_and_the_sleep_it_is_given(store: Checkpoint) -> None:
    class Stop(Exception):  # noqa: N818
        pass

    now = 0
    told: list[Delivered] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += round(seconds * NS_PER_S)
        if now == 2 * NS_PER_S:
            await asyncio.to_thread(queue, store, "b")
        if now > 4 * NS_PER_S:
            raise Stop

    channel = Scripted(answers=[Later("down")])
    queue(store, "a")
    running = keep_delivering(
        store, {"hook": channel}, clock=lambda: now, sleep=sleep, told=told.append
    )
    with pytest.raises(Stop):
        asyncio.run(running)
    assert channel.heard == ["a", "a", "b"]
    assert sum(told, start=Delivered()) == Delivered(sent=2, postponed=1)


@pytest.mark.parametrize("key", ["", "k" * 201, "two\nlines", "schlüssel", "tab\t"])
def test_a_key_that_cannot_travel_in_a_header_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="must be 1 to 200 printable ASCII characters"):
        NewNotice(key, "hook", "d", b"")


@given(st.text(), st.integers(1, 10_000))
def test_pauses_double_within_their_bounds_and_are_the_same_in_a_replay(
    key: str, failures: int
) -> None:
    patience = Patience(first_s=1.0, longest_s=300.0)
    full = min(2.0 ** min(failures - 1, 20), 300.0) * NS_PER_S
    pause = pause_ns(key, failures, patience)
    assert full / 2 <= pause <= full
    assert pause == pause_ns(key, failures, patience)


def test_notices_that_failed_together_do_not_come_back_together() -> None:
    assert len({pause_ns(f"{n}", 9, Patience()) for n in range(100)}) == 100


@pytest.mark.parametrize(
    "other",
    [
        structs.replace(ALERT, deployment="d-43"),
        structs.replace(ALERT, status="resolved"),
        structs.replace(ALERT, at="2026-05-21T10:00:10Z"),
        structs.replace(ALERT, labels={"service": "other"}),
    ],
)
def test_another_change_of_verdict_has_another_key(other: Alert) -> None:
    assert key_of(other) != key_of(ALERT)


def test_the_same_change_in_other_words_has_the_same_key_and_it_can_travel() -> None:
    key = key_of(structs.replace(ALERT, summary="said otherwise"))
    assert NewNotice(key, "hook", "d", b"").key == key_of(ALERT)


def test_an_alert_comes_out_of_its_payload_and_anything_else_is_refused() -> None:
    assert alert_in(payload_of(ALERT)) == ALERT
    refused = alert_in(b'{"deployment": 5}')
    assert isinstance(refused, Refused)
    assert refused.error.startswith("the payload is no alert")

"""Several requests share a turn, and each hears of its own payloads only."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.facts import Batch, Reject
from analyzers.policy import Limits
from analyzers.turn import Inbox, State, take_turn
from collector.decoding.decode import decode
from collector.novelty.novel import Seen, keep_new
from pipeline.config import parse
from pipeline.pieces import Incoming
from pipeline.request_answers import answers, placed, sourced, stale
from tests.integration.serving import marker, order

POLICY = parse(b"", {}).policy


def read(payloads: list[bytes]) -> Batch:
    return decode(payloads, attributes=frozenset(), limits=Limits())


def line(event: dict[str, object]) -> bytes:
    return json.dumps(event).encode()


KINDS = ("event", "same", "marker", "same marker", "rubbish", "same rubbish")


def payload(kind: str, number: int) -> bytes:
    """A payload of a kind: its own, or the same for all numbers."""
    name = "x" if kind.startswith("same") else str(number)
    if "rubbish" in kind:
        return f"rubbish {name}".encode()
    if "marker" in kind:
        return line(marker(id=f"m-{name}"))
    return line(order(0, id=f"o-{name}"))


@given(st.lists(st.lists(st.sampled_from(KINDS), max_size=6), max_size=6))
def test_every_payload_is_answered_once_to_its_sender(requests: list[list[str]]) -> None:
    kinds = [kind for request in requests for kind in request]
    payloads = [payload(kind, n) for n, kind in enumerate(kinds)]
    batch = read(payloads)
    told = answers(batch, keep_new(batch, Seen()).batch, (), [len(one) for one in requests])
    known: set[str] = set()
    for request, answer in zip(requests, told, strict=True):
        bad = [place for place, kind in enumerate(request) if "rubbish" in kind]
        assert [one.index for one in answer.rejected] == bad
        new = 0
        for kind in request:
            if kind in ("event", "marker") or (kind.startswith("same") and kind not in known):
                new += "rubbish" not in kind
            known.add(kind)
        assert answer.accepted == new
        assert answer.duplicates == len(request) - len(bad) - new


def test_events_too_far_ahead_are_told_to_whoever_sent_them() -> None:
    state = State()
    take_turn(state, Inbox(facts=read([line(order(0))]).facts), POLICY)
    payloads = [
        line(order(1)),
        line(order(2, time="2031-01-01T00:00:00Z")),
        b"rubbish",
        line(order(3)),
        line(order(4, time="2030-01-01T00:00:00Z")),
    ]
    batch = read(payloads)
    new = keep_new(batch, Seen()).batch
    delta = take_turn(state, Inbox(facts=new.facts, rejects=new.rejects), POLICY)
    first, second = answers(batch, new, placed(delta, new), [2, 3])
    assert (first.accepted, [one.index for one in first.rejected]) == (1, [1])
    assert (second.accepted, [one.index for one in second.rejected]) == (1, [0, 2])
    assert second.rejected[1].reason == "time_ahead_of_stream"
    assert "2030-01-01" in second.rejected[1].detail
    assert state.counts.events == 3


def test_a_reject_says_which_source_it_came_from_and_where_it_stood_there() -> None:
    incoming = [
        Incoming([line(order(1)), b"rubbish"]),
        Incoming(),
        Incoming([b"more"], source="kafka:orders/3", offsets=np.array([1201])),
    ]
    batch = read([payload for one in incoming for payload in one.payloads])
    late = Reject(index=-1, reason="marker_without_start", detail="of long ago")
    found = sourced([*batch.rejects, late], incoming, most=99)
    assert [(one.source, one.position) for one in found] == [
        ("http", 1),
        ("kafka:orders/3", 1201),
        ("", -1),
    ]


def test_rejects_that_no_request_brought_are_told_to_nobody() -> None:
    batch = read([line(order(1))])
    late = Reject(index=-1, reason="marker_without_start", detail="of long ago")
    (answer,) = answers(batch, batch, [late], [1])
    assert (answer.accepted, answer.rejected) == (1, ())


@pytest.mark.parametrize("event", [order(1), marker()])
def test_what_is_older_than_the_horizon_is_rejected_and_not_lost(event: dict[str, object]) -> None:
    payloads = [b"rubbish", line(event)]
    seen = Seen()
    keep_new(read([line(order(0, time="2027-01-01T00:00:00Z"))]), seen)
    seen.forget(1_790_000_000_000_000_000)
    batch = read(payloads)
    lost = stale(batch, seen.floor_ns, 2)
    new = keep_new(batch, seen).batch
    (answer,) = answers(batch, new, lost, [2])
    assert [(one.index, one.reason) for one in answer.rejected] == [
        (0, "not_json"),
        (1, "time_before_horizon"),
    ]
    assert (answer.accepted, answer.duplicates) == (0, 0)

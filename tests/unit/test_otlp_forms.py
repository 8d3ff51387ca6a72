"""The Collector's topics as forms: one message is one whole request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.otlp.forms import otlp_form, sniffed
from collector.otlp.rules import Encoding, OtlpRules, Signal
from collector.source import Formed, Message
from tests.otlp_requests import as_json, log, logs, said

LIMITS = Limits()
REQUEST = logs(log(), log(""), log())


def form(payload: bytes | None, encoding: Encoding | None = None, place: str = "t/0@7") -> Formed:
    """What a message of a logs topic becomes."""
    made = otlp_form(Signal.LOGS, encoding, rules=OtlpRules(), limits=LIMITS)
    return made(Message(payload, place))


@pytest.mark.parametrize("encoding", [None, Encoding.PROTO])
def test_a_message_is_a_request_and_gives_a_line_for_each_event(encoding: Encoding | None) -> None:
    formed = form(REQUEST.SerializeToString(), encoding)
    assert [line["id"] for line in said(formed.lines)] == ["t/0@7#0", "t/0@7#2"]
    assert formed == form(as_json(REQUEST))


def test_equal_records_in_different_places_are_different_events() -> None:
    first, second = (form(REQUEST.SerializeToString(), place=f"t/0@{n}") for n in (1, 2))
    assert not set(first.lines) & set(second.lines)


def test_messages_without_events_say_why() -> None:
    assert form(None) == Formed(ignored="tombstone")
    assert form(b"") == Formed(ignored="empty")
    assert form(logs(log("")).SerializeToString()) == Formed(ignored="log_without_event_name")


@pytest.mark.parametrize("payload", [b"\xff", b"{", b"order 17 has arrived"])
def test_a_message_that_is_no_request_is_a_reject_with_its_payload(payload: bytes) -> None:
    batch = decode(form(payload).lines, attributes=frozenset(), limits=LIMITS)
    (reject,) = batch.rejects
    assert (reject.reason, reject.payload) == ("format_invalid", payload)
    assert reject.detail.startswith("otlp logs: the body is no")


def test_a_form_counts_what_became_of_its_records() -> None:
    made = otlp_form(Signal.LOGS, rules=OtlpRules(), limits=LIMITS)
    for payload in (REQUEST.SerializeToString(), as_json(REQUEST), b"\xff"):
        made(Message(payload, "t/0@1"))
    counts = made.counts()
    assert (counts.requests, counts.records, counts.events) == (2, 6, 4)
    assert counts.ignored == {"log_without_event_name": 2}


@given(st.binary(max_size=300), st.sampled_from(Signal), st.sampled_from([None, *Encoding]))
def test_any_message_becomes_lines_or_says_why_not(
    payload: bytes, signal: Signal, encoding: Encoding | None
) -> None:
    formed = otlp_form(signal, encoding, rules=OtlpRules(), limits=LIMITS)(Message(payload, "p"))
    assert bool(formed.lines) != bool(formed.ignored)
    decode(formed.lines, attributes=frozenset(), limits=LIMITS)


def test_json_is_known_by_its_brace() -> None:
    assert sniffed(b' {"resourceLogs":[]}') is Encoding.JSON


def test_protobuf_of_any_length_is_not_taken_for_json() -> None:
    # The second byte is the length of what follows, and 123 is a brace.
    bodies = [logs(log("x" * n), resource={}).SerializeToString() for n in range(300)]
    assert any(body[1:2] == b"{" for body in bodies)
    assert {sniffed(body) for body in bodies} == {Encoding.PROTO}

"""The real OpenTelemetry SDK in front of the real doors, over HTTP and over gRPC."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import pytest

from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.otlp.rules import OtlpRules, Signal
from tests.otlp_doors import Doors, serving
from tests.otlp_requests import said
from tests.otlp_shop import RULES, shop

pytestmark = pytest.mark.integration
Protocol = Literal["http", "grpc"]
BOTH: tuple[Protocol, ...] = ("http", "grpc")


def address(doors: Doors, protocol: Protocol) -> str:
    return doors.http if protocol == "http" else doors.grpc


@pytest.mark.parametrize("protocol", BOTH)
def test_events_of_the_sdk_arrive_each_once_and_other_logs_are_ignored(protocol: Protocol) -> None:
    with serving(OtlpRules()) as doors, shop(protocol, address(doors, protocol)) as sender:
        sender.orders(0, 1_500, without_name=20)
        sender.deployed()
        sender.flush()
        batch = decode(doors.lines, attributes=frozenset({"warehouse"}), limits=Limits())
        assert len({line["id"] for line in said(doors.lines)}) == 1_501
        assert len(batch.facts) == 1_500
        assert batch.facts.attributes["warehouse"].words == ("W1",)
        (marker,) = batch.markers
        assert (marker.version, dict(marker.cohort)) == ("1.43.0", {"warehouse": ("W1",)})
        assert doors.door is not None
        counts = doors.door.counts()[Signal.LOGS]
        assert (counts.records, counts.events, counts.rejected) == (1_521, 1_501, 0)
        assert counts.ignored == {"log_without_event_name": 20}


@pytest.mark.parametrize("protocol", BOTH)
def test_spans_and_metrics_of_the_sdk_become_events_by_rules(protocol: Protocol) -> None:
    with serving(RULES) as doors, shop(protocol, address(doors, protocol)) as sender:
        sender.served()
        sender.flush()
        batch = decode(doors.lines, attributes=frozenset(), limits=Limits())
        assert not batch.rejects
        told = Counter(
            (line["type"], line.get("outcome"), round(line.get("value", 0), 4))
            for line in said(doors.lines)
        )
        pick = {key: told.pop(key) for key in list(told) if key[0] == "warehouse.task.completed"}
        assert told == {
            ("api.called", None, 0.25): 1,
            ("api.called", "error", 0.25): 1,
            ("order.submitted", None, 0): 3,
            ("queue.sampled", None, 41): 1,
            ("queue.sampled", None, 7): 1,
            ("query.executed", None, 0.0025): 1,  # the SDK's bounds are 0, 5, 10, 25, 50, ... ms
            ("query.executed", None, 0.0375): 2,
        }
        # Exponential buckets: within half a bucket of scale 3.
        values = sorted(value for (_, _, value), count in pick.items() for _ in range(count))
        assert values == pytest.approx([0.003, 0.030, 0.0305], rel=0.05)
        assert doors.door is not None
        assert doors.door.counts()[Signal.TRACES].ignored == {"span_without_rule": 1}


@pytest.mark.parametrize("protocol", BOTH)
def test_the_sdk_tries_again_what_found_no_room_and_nothing_is_lost(protocol: Protocol) -> None:
    with serving(OtlpRules()) as doors, shop(protocol, address(doors, protocol)) as sender:
        assert doors.room is not None
        doors.room.close("loading")
        sender.orders(0, 10)
        doors.after_refusals(1, doors.room.open)
        sender.flush()
        assert sorted(line["id"] for line in said(doors.lines)) == [f"o-{n}" for n in range(10)]
        assert doors.door is not None
        assert doors.door.refused == {"unavailable": 1}


@pytest.mark.parametrize("protocol", BOTH)
def test_refused_records_do_not_hold_up_the_others_and_are_counted(protocol: Protocol) -> None:
    with serving(OtlpRules()) as doors, shop(protocol, address(doors, protocol)) as sender:
        sender.orders(0, 3)
        sender.orders(-(10**18), 2)  # long before the year 2000
        sender.flush()
        assert doors.door is not None
        counts = doors.door.counts()[Signal.LOGS]
        assert (counts.records, counts.rejected) == (5, 2)
        assert sum(answer.accepted for answer in doors.answers) == 3

"""Events of services that nobody has named are refused where the configuration says so."""

from __future__ import annotations

import json

from analyzers.facts import Batch
from analyzers.policy import Limits
from collector.decoding.decode import decode
from pipeline.strangers import refuse_strangers
from tests.integration.serving import marker, order

LIMITS = Limits(reject_payload_bytes=40)
PAYLOADS = [
    json.dumps(one).encode()
    for one in (order(1), order(2, service="order-app"), marker(), order(3), marker(service="x"))
]


def refused(*known: str) -> Batch:
    batch = decode(PAYLOADS, attributes=frozenset(), limits=LIMITS)
    return refuse_strangers(batch, PAYLOADS, knows=lambda name: name in known, limits=LIMITS)


def test_an_event_of_an_unknown_service_is_refused_and_the_rest_used() -> None:
    batch = refused("order-api")
    assert batch.rows.tolist() == [0, 3]
    assert batch.facts.service.strings() == ["order-api", "order-api"]
    (reject,) = batch.rejects
    assert (reject.index, reject.reason, reject.service) == (1, "unknown_service", "order-app")
    assert "unknown_services to accept" in reject.detail
    assert reject.payload == PAYLOADS[1][:40]
    assert reject.key != (0, 0)


def test_markers_of_unknown_services_are_let_through() -> None:
    assert [one.service for one in refused("order-api").markers] == ["order-api", "x"]


def test_a_batch_of_known_services_is_left_as_it_is() -> None:
    assert len(refused("order-api", "order-app").facts) == 3

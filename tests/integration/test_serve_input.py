"""Every kind of bad input over HTTP: a clear reason each, counted, the rest of the batch used."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.serving import Daemon, daemon, marker, ndjson, order

pytestmark = pytest.mark.integration

MB = 1 << 20


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all of these tests: nothing that they send may harm it."""
    with daemon(tmp_path_factory.mktemp("state")) as running:
        yield running
        assert running.end() == 0


_fresh = iter(range(10_000))


def fresh(**said: object) -> dict[str, object]:
    """An order that no other test has sent."""
    return order(next(_fresh), **said)


def told(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 202, response.text
    answer: dict[str, Any] = response.json()
    return answer


def without(event: dict[str, object], field: str) -> dict[str, object]:
    return {name: value for name, value in event.items() if name != field}


BAD_LINES: list[tuple[str, bytes | dict[str, object]]] = [
    ("not_json", b"garbage"),
    ("not_json", b'{"id":"x",'),
    ("value_not_finite", b'{"id":"x-1","time":1779357600123,"type":"a","service":"b","value":NaN}'),
    (
        "value_not_finite",
        b'{"id":"x-2","time":1779357600123,"type":"a","service":"b","value":Infinity}',
    ),
    ("not_an_object", b'"text"'),
    ("not_an_object", b"[1,2,3]"),
    ("encoding_invalid", b'{"id":"\xff\xfe","time":1,"type":"a","service":"b"}'),
    ("missing_field", without(order(0), "id")),
    ("missing_field", without(order(0), "time")),
    ("missing_field", without(order(0), "type")),
    ("missing_field", without(order(0), "service")),
    ("field_empty", order(0, id="")),
    ("field_type", order(0, id=7)),
    ("field_type", order(0, value="12.5")),
    ("time_without_zone", order(0, time="2026-05-21T10:00:00")),
    ("time_out_of_range", order(0, time="1970-01-01T00:00:00Z")),
    ("time_out_of_range", order(0, time=0)),
    ("time_out_of_range", order(0, time="2100-01-01T00:00:00Z")),
    ("time_invalid", order(0, time="yesterday")),
    ("time_ahead_of_stream", order(0, id="ahead", time="2099-12-31T00:00:00Z")),
    ("too_long", order(0, id="long", subject="x" * (MB + 1))),
    ("track_invalid", order(0, track="control")),
    ("attributes_invalid", order(0, attributes={"a": {"b": "c"}})),
    ("marker_type_unknown", marker(type="deployment.paused")),
    ("marker_invalid", without(marker(), "version")),
    ("not_json", b"[" * 200_000),
]


@pytest.mark.parametrize(("reason", "line"), BAD_LINES)
def test_a_bad_line_is_rejected_with_its_reason_and_the_rest_is_used(
    served: Daemon, reason: str, line: bytes | dict[str, object]
) -> None:
    before = served.counts()["events"]
    answer = told(served.post(ndjson([fresh(), line, fresh()])))
    assert answer["accepted"] == 2
    (rejected,) = answer["rejected"]
    assert rejected["index"] == 1
    assert rejected["reason"] == reason, rejected
    assert rejected["detail"]
    assert served.counts()["events"] == before + 2


def test_every_reject_is_counted_by_its_reason(served: Daemon) -> None:
    before = served.metric('plimsoll_rejected_total{reason="not_json"}') or 0.0
    rejected = served.counts()["rejected"]
    told(served.post(b"one kind of rubbish\nanother kind of rubbish\n"))
    assert served.metric('plimsoll_rejected_total{reason="not_json"}') == before + 2
    assert served.counts()["rejected"] == rejected + 2
    by_reason = served.get("/v1/page")["rejected_by_reason"]
    assert sum(by_reason.values()) == rejected + 2


@pytest.mark.parametrize("body", [b"", b"\n\n \r\n", b"[]"])
def test_an_empty_body_is_accepted_and_holds_nothing(served: Daemon, body: bytes) -> None:
    assert told(served.post(body)) == {"accepted": 0, "duplicates": 0, "rejected": []}


def test_unknown_fields_and_unknown_services_are_taken(served: Daemon) -> None:
    answer = told(served.post(ndjson([fresh(surprise={"a": 1}), fresh(service="never-heard-of")])))
    assert (answer["accepted"], answer["rejected"]) == (2, [])


def test_arrays_single_objects_and_printed_objects_are_taken(served: Daemon) -> None:
    array = json.dumps([fresh(), fresh()]).encode()
    assert told(served.post(array, content_type="application/json"))["accepted"] == 2
    single = json.dumps(fresh(), indent=2).encode()
    assert told(served.post(single, content_type="application/json"))["accepted"] == 1


def test_an_array_that_is_cut_off_loses_only_what_was_cut(served: Daemon) -> None:
    body = json.dumps([fresh(), fresh(), fresh()]).encode()[:-40]
    answer = told(served.post(body, content_type="application/json"))
    assert answer["accepted"] == 2
    assert [one["index"] for one in answer["rejected"]] == [2]


def test_gzip_is_understood_and_its_damage_told(served: Daemon) -> None:
    body = gzip.compress(ndjson([fresh(), fresh()]))
    assert told(served.post(body, content_encoding="gzip"))["accepted"] == 2
    for damaged in (body[:-5], b"not gzip"):
        response = served.post(damaged, content_encoding="gzip")
        assert (response.status_code, response.json()["error"]) == (400, "bad_gzip")


def test_a_line_of_a_hundred_megabytes_is_refused_with_its_reason(served: Daemon) -> None:
    def body() -> Iterator[bytes]:
        yield ndjson([fresh()]) + b'\n{"id":"'
        for _ in range(100):
            yield b"x" * MB
        yield b'"}\n'

    response = served.post(body())
    assert (response.status_code, response.json()["error"]) == (413, "body_too_large")
    assert "limits.body_bytes" in response.json()["detail"]
    assert (served.metric('plimsoll_requests_refused_total{error="body_too_large"}') or 0) >= 1


def test_a_declared_hundred_megabytes_is_refused_too(served: Daemon) -> None:
    response = served.post(b"x" * (100 * MB))
    assert (response.status_code, response.json()["error"]) == (413, "body_too_large")


def test_a_small_body_that_unpacks_to_a_huge_one_is_refused(served: Daemon) -> None:
    bomb = gzip.compress(b"0" * (64 * MB), compresslevel=1)
    response = served.post(bomb, content_encoding="gzip")
    assert (response.status_code, response.json()["error"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"content_type": "application/xml"}, "unsupported_content_type"),
        ({"content_type": "image/png"}, "unsupported_content_type"),
        ({"content_type": "application/json; charset=utf-16"}, "unsupported_charset"),
        ({"content_encoding": "br"}, "unsupported_encoding"),
        ({"content_encoding": "gzip, gzip"}, "unsupported_encoding"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_header(
    served: Daemon, headers: dict[str, str], error: str
) -> None:
    response = served.post(ndjson([fresh()]), **headers)
    assert (response.status_code, response.json()["error"]) == (415, error)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://evil.example:8600"])
def test_a_web_page_may_not_write(served: Daemon, origin: str) -> None:
    response = served.post(ndjson([fresh()]), origin=origin)
    assert (response.status_code, response.json()["error"]) == (403, "cross_origin")


def test_markers_and_events_may_come_through_either_door(served: Daemon) -> None:
    both = ndjson([marker(id="m-door", deployment="d-door"), fresh()])
    response = served.http.post("/v1/markers", content=both)
    assert told(response)["accepted"] == 2
    assert served.get("/v1/verdicts/d-door")["service"] == "order-api"


def test_a_marker_without_its_start_is_told_once_its_time_has_passed(served: Daemon) -> None:
    orphan = marker(id="m-orphan", type="deployment.finished", deployment="d-orphan")
    told(served.post(ndjson([orphan])))
    # One event alone might have a fast clock; so many that agree are believed.
    told(served.post(ndjson([order(35_000 + n, id=f"later-{n}") for n in range(300)])))
    assert served.metric('plimsoll_rejected_total{reason="marker_without_start"}') == 1.0


def test_an_event_sent_twice_counts_once(served: Daemon) -> None:
    event = ndjson([fresh()])
    assert told(served.post(event))["accepted"] == 1
    assert told(served.post(event)) == {"accepted": 0, "duplicates": 1, "rejected": []}


def test_paths_and_methods_that_do_not_exist_are_told_in_json(served: Daemon) -> None:
    nowhere = served.http.post("/v1/nowhere", content=b"{}")
    assert (nowhere.status_code, nowhere.json()["error"]) == (404, "not_found")
    wrong = served.http.get("/v1/events")
    assert (wrong.status_code, wrong.json()["error"]) == (405, "method_not_allowed")


def test_the_openapi_document_names_exactly_the_paths_that_answer(served: Daemon) -> None:
    paths = served.get("/openapi.json")["paths"]
    for path, methods in paths.items():
        for method in methods:
            asked = served.http.request(method, path.replace("{deployment}", "d"), content=b"")
            assert asked.status_code in map(int, methods[method]["responses"]), (path, asked.text)
    assert {"/v1/events", "/v1/markers", "/v1/verdicts", "/metrics", "/"} <= set(paths)


def test_a_small_limit_from_the_configuration_is_kept(tmp_path: Path) -> None:
    settings = tmp_path / "plimsoll.yml"
    settings.write_text("limits: {line_bytes: 1024, body_bytes: 4096}\n")
    with daemon(tmp_path / "state", "--config", str(settings)) as running:
        answer = told(running.post(ndjson([order(1), order(2, subject="x" * 1024), order(3)])))
        assert [one["reason"] for one in answer["rejected"]] == ["too_long"]
        assert running.post(b"x" * 4097).status_code == 413
        assert running.end() == 0

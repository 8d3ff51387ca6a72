"""Verdicts, page data and probes over HTTP: strict JSON, wait where nothing is known."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboards.api import openapi, page_data, probes, verdicts
from dashboards.api.answers import SafeHeaders, on_http_error, on_mistake
from dashboards.api.page_data import Evidence
from dashboards.snapshot import Snapshot
from tests.unit.released import Fixed, reason, snapshot, undecided, verdict


async def _no_evidence(deployment: str) -> Evidence:
    return Evidence(deployment)


async def _mistake(request: Request) -> Response:
    raise AssertionError("of ours")


def get(given: Snapshot, path: str, *, method: str = "GET") -> httpx.Response:
    """The answer of an application that reads the given snapshot."""
    reader = Fixed(given)
    app = Starlette(
        routes=[
            *verdicts.routes(reader),
            *page_data.routes(reader, _no_evidence, version="1.0"),
            *probes.routes(reader, version="1.0"),
            *openapi.routes(openapi.OPERATIONS, version="1.0"),
            Route("/mistake", _mistake),
        ],
        exception_handlers={HTTPException: on_http_error, Exception: on_mistake},
    )

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(SafeHeaders(app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path)

    return asyncio.run(ask())


def strict(response: httpx.Response) -> Any:
    """The JSON of a response, which must not hold NaN or infinities."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert response.headers["content-type"] == "application/json"
    return json.loads(response.content, parse_constant=refuse)


def names(response: httpx.Response) -> list[str]:
    return [one["deployment"] for one in strict(response)["verdicts"]]


def test_the_verdict_of_a_known_deployment_is_given_whole() -> None:
    told = strict(get(snapshot(verdict()), "/v1/verdicts/d-42"))
    assert (told["verdict"], told["action"]) == ("degraded", "rollback")
    assert told["reasons"][0]["effect"] == -0.037


@pytest.mark.parametrize("name", ["never-heard-of", "shop/orders/6c8f", "%F0%9F%9A%80", "x" * 999])
def test_an_unknown_deployment_has_no_data_and_must_wait(name: str) -> None:
    response = get(snapshot(verdict()), f"/v1/verdicts/{name}")
    told = strict(response)
    assert response.status_code == 200
    assert (told["verdict"], told["action"], told["reasons"]) == ("no_data", "wait", [])
    assert "deployment.started" in told["why"]


def test_before_the_state_is_loaded_every_deployment_must_wait() -> None:
    told = strict(get(Snapshot(), "/v1/verdicts/d-42"))
    assert told["action"] == "wait"
    assert "still loading" in told["why"]


def test_a_number_that_is_none_comes_out_as_null_and_never_as_nan() -> None:
    odd = undecided(reasons=[reason(e_value=math.nan, low=math.inf)])
    told = strict(get(snapshot(odd), "/v1/verdicts/d-43"))
    assert told["reasons"][0]["e_value"] is None
    assert told["reasons"][0]["low"] is None


def test_verdicts_can_be_filtered_by_service_version_and_environment() -> None:
    given = snapshot(verdict("a"), verdict("b", service="edi"), verdict("c", environment="staging"))
    assert names(get(given, "/v1/verdicts")) == ["a", "b", "c"]
    assert names(get(given, "/v1/verdicts?service=edi")) == ["b"]
    assert names(get(given, "/v1/verdicts?environment=staging&version=1.42.0")) == ["c"]
    assert names(get(given, "/v1/verdicts?service=edi&environment=staging")) == []
    assert names(get(given, "/v1/verdicts?unheard=of")) == ["a", "b", "c"]


def test_the_page_has_counts_arrivals_and_releases_in_epoch_milliseconds() -> None:
    page = strict(get(snapshot(verdict()), "/v1/page"))
    assert page["watermark"] == 1_779_357_600_000
    assert page["now"] == 1_779_357_630_000
    assert page["quiet_seconds"] == 2.5
    assert page["counts"] == {
        "events": 7, "duplicates": 2, "conflicts": 1, "late": 1, "rejected": 3, "markers": 1,
    }  # fmt: skip
    assert page["rejected_by_reason"] == {"not_json": 2, "too_long": 1}
    assert page["arrivals"] == [
        {
            "environment": "production",
            "service": "order-api",
            "type": "order.submitted",
            "events": 7,
            "last": 1_779_357_600_000,
            "versions": ["1.42.0", "1.41.3"],
        }
    ]
    (one,) = page["releases"]
    assert one["verdict"]["deployment"] == "d-42"
    assert (one["started"], one["ended"]) == (1_779_357_600_000, None)


def test_the_page_of_an_empty_state_has_nothing_to_show() -> None:
    page = strict(get(Snapshot(), "/v1/page"))
    assert (page["watermark"], page["now"], page["quiet_seconds"]) == (None, None, None)
    assert (page["arrivals"], page["releases"]) == ([], [])


def test_the_evidence_on_an_unknown_deployment_is_empty() -> None:
    assert strict(get(Snapshot(), "/v1/evidence/a/b")) == {
        "deployment": "a/b", "markers": [], "metrics": [], "series": [],
    }  # fmt: skip


def test_the_process_is_healthy_before_it_is_ready() -> None:
    assert get(Snapshot(), "/healthz").status_code == 200
    early = get(Snapshot(), "/readyz")
    assert (early.status_code, strict(early)["error"]) == (503, "not_ready")
    assert get(snapshot(), "/readyz").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/verdicts/", 200, None),
        ("POST", "/v1/verdicts", 405, "method_not_allowed"),
        ("DELETE", "/v1/verdicts/d-42", 405, "method_not_allowed"),
        ("GET", "/mistake", 500, "internal_error"),
    ],
)
def test_errors_are_json_too(method: str, path: str, status: int, error: str | None) -> None:
    response = get(snapshot(), path, method=method)
    assert response.status_code == status
    assert strict(response).get("error") == error


def test_a_refused_method_is_told_which_ones_are_allowed() -> None:
    assert "GET" in get(snapshot(), "/v1/page", method="POST").headers["allow"]


@pytest.mark.parametrize("path", ["/v1/page", "/nowhere"])
def test_every_answer_has_the_security_headers(path: str) -> None:
    headers = get(snapshot(), path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["cache-control"] == "no-store"


def test_an_answer_with_headers_of_its_own_keeps_them() -> None:
    async def page(request: Request) -> Response:
        return Response("x", headers={"content-security-policy": "default-src 'self'"})

    async def ask() -> httpx.Response:
        app = SafeHeaders(Starlette(routes=[Route("/", page)]))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/")

    assert asyncio.run(ask()).headers["content-security-policy"] == "default-src 'self'"


def test_filters_compare_whole_values() -> None:
    given = snapshot(verdict("a", reasons=[reason()]))
    assert verdicts.select(given, service="order") == []
    assert [one.deployment for one in verdicts.select(given, service="order-api")] == ["a"]

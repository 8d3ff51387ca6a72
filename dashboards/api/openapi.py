"""``GET /openapi.json``: the HTTP interface as OpenAPI 3.1, made from the types it answers with.

A test asks every route and holds its answers against this document, and finds no route without
an entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from analyzers.judging.fleet import Fleet
from analyzers.judging.verdict import Verdict
from dashboards.api.answers import Problem
from dashboards.api.page_data import Evidence, Page
from dashboards.api.probes import Health
from dashboards.api.verdicts import Verdicts

_REFERENCE: Final = "#/components/schemas/{name}"
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of an operation: its status, when it is given, and what its body is."""

    status: int
    when: str
    body: Any = Problem  # a msgspec type, or a media type as text
    retry: bool = False  # carries Retry-After


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter, in ``path`` or ``query``."""

    name: str
    place: str
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. ``takes`` is the type of one element of the request's body."""

    method: str
    path: str
    name: str
    summary: str
    answers: tuple[Answered, ...]
    parameters: tuple[Parameter, ...] = ()
    takes: Any = None


_DEPLOYMENT: Final = Parameter("deployment", "path", "The deployment's name, as its marker says.")
_HTML: Final = "text/html"

OPERATIONS: Final = (
    Operation(
        "get", "/v1/verdicts", "verdicts", "The latest verdict of each deployment.",
        (Answered(200, "Always; the list may be empty.", Verdicts),),
        (
            Parameter("service", "query", "Only this service."),
            Parameter("version", "query", "Only this version."),
            Parameter("environment", "query", "Only this environment."),
        ),
    ),
    Operation(
        "get", "/v1/verdicts/{deployment}", "verdict", "The latest verdict of one deployment.",
        (Answered(200, "Always; an unknown deployment has no_data and must wait.", Verdict),),
        (_DEPLOYMENT,),
    ),
    Operation(
        "get", "/v1/fleet", "fleet",
        "All releases that ended under one false discovery rate: which are counted as harmful.",
        (
            Answered(200, "Always; the list may be empty.", Fleet),
            Answered(400, "The rate is not between 0 and 1."),
        ),
        (Parameter("rate", "query", "The false discovery rate, 0.1 if not given."),),
    ),
    Operation(
        "get", "/v1/page", "page", "What the live page shows at first sight.",
        (Answered(200, "Always.", Page),),
    ),
    Operation(
        "get", "/v1/evidence/{deployment}", "evidence", "The evidence on one deployment over time.",
        (
            Answered(200, "Always; empty for an unknown deployment.", Evidence),
        ),
        (_DEPLOYMENT,),
    ),
    Operation(
        "get", "/metrics", "metrics", "Everything published to Prometheus.",
        (Answered(200, "Always.", "text/plain"),),
    ),
    Operation(
        "get", "/healthz", "healthz", "Whether the process answers.",
        (Answered(200, "Always.", Health),),
    ),
    Operation(
        "get", "/readyz", "readyz", "Whether the state is loaded and can be saved.",
        (Answered(200, "Yes.", Health), Answered(503, "Not yet, or not any more.")),
    ),
    Operation(
        "get", "/openapi.json", "openapi", "This document.",
        (Answered(200, "Always.", JSON),),
    ),
    Operation("get", "/", "live_page", "The live page.", (Answered(200, "Always.", _HTML),)),
)  # fmt: skip


def routes(operations: Sequence[Operation], *, version: str) -> list[Route]:
    """The one route; the document is made once."""
    body = msgspec.json.encode(document(operations, version=version))

    async def openapi(_: Request) -> Response:
        return Response(body, media_type=JSON)

    return [Route("/openapi.json", openapi, methods=["GET"], name="openapi")]


def document(operations: Sequence[Operation], *, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the operations, as plain JSON values."""
    types = {answer.body for operation in operations for answer in operation.answers}
    types |= {operation.takes for operation in operations}
    named = sorted((kind for kind in types if isinstance(kind, type)), key=lambda k: k.__name__)
    schemas, components = msgspec.json.schema_components(named, ref_template=_REFERENCE)
    references = dict(zip(named, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "plimsoll",
            "version": version,
            "summary": "Judges a release by what it does to the business.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _described(operation: Operation, references: dict[Any, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": {str(a.status): _answer(a, references) for a in operation.answers},
    }
    if operation.parameters:
        said["parameters"] = [
            {
                "name": parameter.name,
                "in": parameter.place,
                "required": parameter.place == "path",
                "description": parameter.description,
                "schema": {"type": "string"},
            }
            for parameter in operation.parameters
        ]
    if operation.takes is not None:
        one = references[operation.takes]
        said["requestBody"] = {
            "required": True,
            "description": "One a line, or a JSON array, or one alone; gzip is understood.",
            "content": {
                JSON: {"schema": {"oneOf": [one, {"type": "array", "items": one}]}},
                NDJSON: {"schema": {"type": "string"}},
            },
        }
    return said


def _answer(answer: Answered, references: dict[Any, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"description": answer.when}
    if isinstance(answer.body, str):
        schema = {"type": "object"} if answer.body == JSON else {"type": "string"}
        said["content"] = {answer.body: {"schema": schema}}
    else:
        said["content"] = {JSON: {"schema": references[answer.body]}}
    if answer.retry:
        said["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        }
    return said

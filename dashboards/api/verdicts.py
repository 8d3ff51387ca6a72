"""``GET /v1/verdicts`` and ``GET /v1/verdicts/{deployment}``, as rollout tools ask.

An unknown deployment is not an error: it has no data yet, and every tool must wait for it. So the
answer is always 200, always strict JSON, always a verdict.
"""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from analyzers.judging.verdict import Verdict
from analyzers.times import rfc3339
from dashboards.api.answers import json
from dashboards.snapshot import Reader, Snapshot

_FILTERS: Final = ("service", "version", "environment")
_NAME_LENGTH: Final = 300  # of an unknown deployment, as given back


class Verdicts(msgspec.Struct, frozen=True):
    """The latest verdict of each deployment, newest start first."""

    verdicts: list[Verdict]


def routes(reader: Reader) -> list[Route]:
    """Both routes, reading what was committed last."""

    async def every(request: Request) -> Response:
        wanted = {name: request.query_params[name] for name in _FILTERS
                  if name in request.query_params}  # fmt: skip
        return json(Verdicts(select(reader.snapshot(), **wanted)))

    async def one(request: Request) -> Response:
        snapshot = reader.snapshot()
        name = request.path_params["deployment"]
        release = snapshot.releases.get(name)
        return json(release.verdict if release else unknown(name, snapshot))

    return [
        Route("/v1/verdicts", every, methods=["GET"], name="verdicts"),
        Route("/v1/verdicts/{deployment:path}", one, methods=["GET"], name="verdict"),
    ]


def select(
    snapshot: Snapshot,
    *,
    service: str | None = None,
    version: str | None = None,
    environment: str | None = None,
) -> list[Verdict]:
    """The verdicts that match every filter given."""
    return [
        verdict
        for verdict in (release.verdict for release in snapshot.releases.values())
        if service in (None, verdict.service)
        and version in (None, verdict.version)
        and environment in (None, verdict.environment)
    ]


def unknown(deployment: str, snapshot: Snapshot) -> Verdict:
    """The verdict on a deployment that no marker has started: no data, so wait."""
    if snapshot.vitals.ready:
        why = (
            f"no deployment.started marker for {deployment[:_NAME_LENGTH]!r} has arrived; "
            "send one with `plimsoll mark started` or POST /v1/markers"
        )
    else:
        why = "the daemon is still loading its state; ask again in a moment"
    as_of = rfc3339(snapshot.now_ns or 0)
    return Verdict(
        deployment=deployment[:_NAME_LENGTH],
        service="",
        environment="",
        version="",
        replaces=None,
        strategy="",
        design="concurrent",
        verdict="no_data",
        action="wait",
        indicative=False,
        as_of=as_of,
        since=as_of,
        decided_at=None,
        first_degraded_at=None,
        score=0,
        why=why,
        reasons=[],
        impact=None,
        suspects=[],
        owner="",
        runbook="",
        policy="",
    )

"""``/healthz`` and ``/readyz``: whether the process answers, and whether it knows its state."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboards.api.answers import Problem, json
from dashboards.snapshot import Reader


class Health(msgspec.Struct, frozen=True):
    """What a probe is told."""

    status: str
    version: str


def routes(reader: Reader, *, version: str) -> list[Route]:
    """Both probes."""

    async def healthz(_: Request) -> Response:
        return json(Health("ok", version))

    async def readyz(_: Request) -> Response:
        if reader.snapshot().vitals.ready:
            return json(Health("ready", version))
        return json(Problem("not_ready", "the state is being loaded, or is being saved"), 503)

    return [
        Route("/healthz", healthz, methods=["GET"], name="healthz"),
        Route("/readyz", readyz, methods=["GET"], name="readyz"),
    ]

"""``GET /v1/fleet``: which of all releases that ended are counted as harmful."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from analyzers.judging.fleet import RATE, Fleet, FleetError, fleet
from dashboards.api.answers import Problem, json
from dashboards.snapshot import Reader, Snapshot


def routes(reader: Reader) -> list[Route]:
    """The one route, reading what was committed last; ``rate`` is the false discovery rate."""

    async def report(request: Request) -> Response:
        said = request.query_params.get("rate", f"{RATE:g}")
        try:
            return json(fleet_of(reader.snapshot(), rate=_rate(said)))
        except FleetError as error:
            return json(Problem("bad_request", str(error)), 400)

    return [Route("/v1/fleet", report, methods=["GET"], name="fleet")]


def fleet_of(snapshot: Snapshot, *, rate: float) -> Fleet:
    """The report on a snapshot; FleetError for a rate that can be none."""
    started = sum(tally.deployments for tally in snapshot.deliveries)
    return fleet(
        [release.verdict for release in snapshot.releases.values()],
        rate=rate,
        forgotten=max(0, started - len(snapshot.releases)),
    )


def _rate(said: str) -> float:
    try:
        return float(said)
    except ValueError as error:
        raise FleetError(f"rate {said[:40]!r} is no number: give one between 0 and 1") from error

"""A marker of our own format, made of what another tool says; ``markers`` judges it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.decoding.markers import STRATEGIES
from collector.decoding.said import Loose
from collector.foreign.values import inner, text

STARTED: Final = "deployment.started"
SHIFTED: Final = "deployment.shifted"
FINISHED: Final = "deployment.finished"
ROLLED_BACK: Final = "deployment.rolled_back"
OK: Final = "ok"
FAILED: Final = "failed"

# What people may write where a tool has room for their own fields; it stands above what the tool
# itself says.
_OWN: Final = ("service", "version", "environment", "replaces", "owner", "runbook", "deployment")
# Names of clusters, namespaces and projects that can only mean an environment.
_ENVIRONMENTS: Final = frozenset(
    (
        *("production", "prod", "live", "preproduction", "preprod", "staging", "stage"),
        *("integration", "uat", "qa", "testing", "test", "development", "dev", "sandbox", "demo"),
    )
)
_NOTHING: Final[Mapping[str, object]] = {}


def marker(
    event_type: str,
    *,
    id: str,  # noqa: A002 - the field's name
    time: object,
    deployment: str,
    service: str,
    version: str = "",
    environment: str = "",
    outcome: str = "",
    strategy: str = "rolling",
    share: float | None = None,
    own: Mapping[str, object] = _NOTHING,
) -> Loose:
    """The marker, not yet judged; what people say in ``own`` counts before what the tool says.

    Tools that only say that a new version is rolled out do it instance by instance, so that is
    their strategy.
    """
    fields: dict[str, object] = {
        "id": id,
        "time": time,
        "type": event_type,
        "deployment": deployment,
        "service": service,
        "version": version,
        "environment": environment,
        "outcome": outcome,
        "strategy": strategy,
        "share": share,
        "opens": event_type in (FINISHED, ROLLED_BACK) or None,
    }
    fields |= {name: said for name in _OWN if (said := text(own, name))}
    chosen = text(own, "strategy").lower().replace("-", "_")
    if chosen in STRATEGIES:
        fields["strategy"] = chosen
    if cohort := inner(own, "cohort"):
        fields["cohort"] = cohort
    return Loose({name: said for name, said in fields.items() if said is not None and said != ""})


def environment_of(*names: str) -> str:
    """The first of some names that can only be an environment's, or none.

    >>> environment_of("team-orders", "staging")
    'staging'
    """
    return next((name for name in names if name.lower() in _ENVIRONMENTS), "")

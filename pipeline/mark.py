"""``plimsoll mark``: a deployment marker made from what the shell says.

The daemon decides whether a marker is valid; here it is only put together, so that the command
and a marker sent by other means are judged by one rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

import msgspec

VERBS: Final[Mapping[str, str]] = {
    "started": "deployment.started",
    "shifted": "deployment.shifted",
    "finished": "deployment.finished",
    "rolled-back": "deployment.rolled_back",
}


class MarkError(ValueError):
    """An option that cannot be understood; says how to write it."""


class NewMarker(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A marker as it is sent; what is not said is left out."""

    id: str
    time: str | int
    type: str
    deployment: str
    service: str
    version: str
    environment: str = ""
    replaces: str = ""
    strategy: str = ""
    share: float | None = None
    cohort: dict[str, list[str]] = msgspec.field(default_factory=dict)
    outcome: str = ""
    owner: str = ""
    runbook: str = ""


def event_time(said: str | None, *, now: datetime) -> str | int:
    """The marker's time: what is said (RFC 3339, or epoch milliseconds), else ``now``."""
    if said is None:
        return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return int(said) if said.isascii() and said.isdigit() else said


def marker_id(deployment: str, verb: str, time: str | int) -> str:
    """An id that is the same for the same marker, so that sending it again changes nothing."""
    return f"{deployment}:{verb}:{time}"


def cohort(said: Sequence[str]) -> dict[str, list[str]]:
    """The cohort from options such as ``warehouse=W1,W2``.

    >>> cohort(["warehouse=W1,W2", "region=eu"])
    {'warehouse': ['W1', 'W2'], 'region': ['eu']}
    """
    found: dict[str, list[str]] = {}
    for option in said:
        name, sign, values = option.partition("=")
        members = [value.strip() for value in values.split(",") if value.strip()]
        if not sign or not name.strip() or not members:
            raise MarkError(
                f"cohort {option!r} is not understood; write for instance warehouse=W1,W2"
            )
        found.setdefault(name.strip(), []).extend(members)
    return found


def page_url(url: str, deployment: str) -> str:
    """Where the live page shows the deployment."""
    return f"{url.rstrip('/')}/#{quote(deployment, safe='')}"

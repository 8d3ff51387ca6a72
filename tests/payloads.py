"""Payloads for tests: valid events and markers, to be changed where a test needs it."""

from __future__ import annotations

import json
from typing import Any

from analyzers.facts import Batch
from analyzers.policy import Limits
from collector.decoding.decode import decode


def event(**changes: Any) -> dict[str, Any]:
    """A valid event, with some fields changed; a field set to ... is left out."""
    fields = {
        "id": "o-1",
        "time": "2026-05-21T12:00:00Z",
        "type": "order.submitted",
        "service": "order-api",
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not ...}


def marker(**changes: Any) -> dict[str, Any]:
    """A valid start of a deployment, with some fields changed."""
    fields = {
        **event(id="m-1", type="deployment.started"),
        "deployment": "d-42",
        "version": "1.42.0",
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not ...}


def decoded(*said: Any, attributes: tuple[str, ...] = (), limits: Limits | None = None) -> Batch:
    """The batch of these payloads; what is not bytes yet is written as JSON."""
    payloads = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in said]
    return decode(payloads, attributes=frozenset(attributes), limits=limits or Limits())

"""Grafana annotations: a marker where the tags name the service and its version, else nothing.

Tags have no fields, so they are written ``name:value`` or ``name=value``, as monitoring tools do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from collector.decoding.said import Loose
from collector.foreign.kinds import Other, other
from collector.foreign.release import STARTED, marker
from collector.foreign.values import name, text

_TAG: Final = re.compile(r"([A-Za-z_]{1,32})[:=](.+)", re.DOTALL)
_TAGS_READ: Final = 64
_MS_PER_S: Final = 1_000


def understood(fields: Mapping[str, object]) -> Loose | Other | None:
    """What an annotation says; None if the object is none."""
    if "what" in fields and ("when" in fields or "tags" in fields):
        when = fields.get("when")
        whole = isinstance(when, int) and not isinstance(when, bool)
        return _of(fields, when * _MS_PER_S if whole and isinstance(when, int) else None)
    if "text" in fields and isinstance(fields.get("tags"), list):
        return _of(fields, fields.get("time"))
    if "ruleUrl" in fields or ("ruleId" in fields and "state" in fields):
        return other("grafana", "alert")
    return None


def _of(fields: Mapping[str, object], time: object) -> Loose | Other:
    tags = fields.get("tags")
    said: dict[str, object] = {}
    for tag in (tags if isinstance(tags, list) else str(tags).split())[:_TAGS_READ]:
        found = _TAG.fullmatch(tag) if isinstance(tag, str) else None
        if found is not None:
            said.setdefault(found.group(1).lower(), found.group(2).strip())
    service, version = text(said, "service"), text(said, "version")
    if not (service and version) or not isinstance(time, int):
        return other("grafana", "annotation")
    return marker(
        STARTED,
        id=name("grafana", service, version, str(time)),
        time=time,
        deployment=name("grafana", service, text(said, "environment"), version, str(time)),
        service=service,
        version=version,
        environment=text(said, "environment") or text(said, "env"),
        own=said,
    )

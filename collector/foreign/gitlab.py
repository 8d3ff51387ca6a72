"""GitLab webhooks: deployment events; the others are known and left alone.

Source: GitLab's documentation of webhook events.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from collector.decoding.said import Loose
from collector.foreign.kinds import Other, other
from collector.foreign.release import FAILED, FINISHED, OK, STARTED, marker
from collector.foreign.values import inner, last_segment, name, text, value, version_of, word

# Others, as `blocked` and `skipped`, are those of a deployment that has not touched anything.
_STATUSES: Final = {
    "created": (STARTED, ""),
    "running": (STARTED, ""),
    "success": (FINISHED, OK),
    "failed": (FINISHED, FAILED),
    "canceled": (FINISHED, FAILED),
}
# 2021-04-28 21:50:00 +0200, or UTC in place of the offset: no RFC 3339.
_RUBY_TIME: Final = re.compile(r"(\S{10}) (\S{8}(?:\.\d{1,9})?) (?:UTC|([+-]\d\d):?(\d\d))")
_SYSTEM: Final = ("project_id", "user_id", "group_id", "key")


def understood(fields: Mapping[str, object]) -> Loose | Other | None:
    """What a GitLab webhook says; None if the object is none."""
    kind = text(fields, "object_kind")
    if kind == "deployment" and ("deployment_id" in fields or "environment" in fields):
        return _of_deployment(fields)
    if kind:
        return other("gitlab", kind)
    if text(fields, "event_name") and any(one in fields for one in _SYSTEM):
        return other("gitlab", "system")
    return None


def _of_deployment(fields: Mapping[str, object]) -> Loose | Other:
    status = text(fields, "status")
    known = _STATUSES.get(status)
    if known is None:
        return other("gitlab", "deployment")
    event_type, outcome = known
    project = inner(fields, "project")
    path = text(project, "path_with_namespace")
    number = word(fields, "deployment_id") or word(fields, "deployable_id")
    commit = text(fields, "short_sha") or last_segment(text(fields, "commit_url"))
    return marker(
        event_type,
        id=name("gitlab", path, number, status),
        time=rfc3339(value(fields, "status_changed_at")),
        deployment=name("gitlab", path, number) if number else "",
        service=path.rpartition("/")[2] or text(project, "name"),
        version=version_of(text(fields, "ref"), commit),
        environment=text(fields, "environment"),
        outcome=outcome,
    )


def rfc3339(time: object) -> object:
    """GitLab's way to write a time as the standard one; anything else as it is.

    >>> rfc3339("2021-04-28 21:50:00 +0200"), rfc3339("2021-04-28 19:50:00 UTC")
    ('2021-04-28T21:50:00+02:00', '2021-04-28T19:50:00Z')
    """
    found = _RUBY_TIME.fullmatch(time) if isinstance(time, str) else None
    if found is None:
        return time
    date, clock, hours, minutes = found.groups()
    return f"{date}T{clock}{f'{hours}:{minutes}' if hours else 'Z'}"

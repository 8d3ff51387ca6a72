"""Markers that belong to no release, told once their time has passed."""

from __future__ import annotations

import msgspec

from analyzers.facts import Marker, Reject
from analyzers.timeline import Timeline


def passed_by(timeline: Timeline, watermark_ns: int | None, told: set[str]) -> list[Reject]:
    """Rejects for markers that belong to no deployment although their time has passed; ``told``
    holds those that were told before, and takes these in."""
    found = []
    for marker in timeline.orphans:
        name = f"{marker.environment}\n{marker.service}\n{marker.id}"
        if watermark_ns is None or marker.time_ns >= watermark_ns or name in told:
            continue
        told.add(name)
        reason, detail = _why(marker, timeline)
        payload = msgspec.json.encode(marker)
        found.append(
            Reject(index=-1, reason=reason, detail=detail, payload=payload, service=marker.service)
        )
    return found


def _why(marker: Marker, timeline: Timeline) -> tuple[str, str]:
    """Why a marker belongs to no deployment, as a reason and in words."""
    what = f"{marker.type} of deployment {marker.deployment!r}"
    owner = next((d for d in timeline.deployments if d.name == marker.deployment), None)
    if owner is None:
        remedy = "send one, late is fine"
        return "marker_without_start", f"{what}, which has no deployment.started marker: {remedy}"
    return "deployment_name_taken", (
        f"{what} by {marker.service} in {marker.environment}, but that name is the release of "
        f"{owner.service} in {owner.environment}: give every release a name of its own"
    )

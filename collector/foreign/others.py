"""What is sent to the same address by mistake or for company: known by its shape, left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.foreign.kinds import Other, other
from collector.foreign.values import inner, text

_OTLP: Final = (
    ("resourceLogs", "send_to_v1_logs"),
    ("resourceMetrics", "send_to_v1_metrics"),
    ("resourceSpans", "send_to_v1_traces"),
)
_AZURE: Final = (
    ("git.", "git"),
    ("build.", "build"),
    ("workitem.", "workitem"),
    ("ms.vss-release.", "release"),
    ("ms.vss-pipelines.", "build"),
    ("ms.vss-code.", "git"),
)
# All of a shape's fields have to be there.
_SHAPES: Final = (
    (("ref", "before", "after", "compare_url", "repository"), "gogs_push"),
    (("push_data", "callback_url", "repository"), "docker_push"),
    (("push", "actor", "repository"), "bitbucket_push"),
    (("pullrequest", "actor", "repository"), "bitbucket_pullrequest"),
    (("groupKey", "alerts", "receiver"), "alertmanager"),
    (("$schema",), "json_schema"),
    (("$id",), "json_schema"),
    (("$defs",), "json_schema"),
)


def understood(fields: Mapping[str, object]) -> Other | None:
    """What an object is, if its shape is known."""
    for field, word in _OTLP:
        if isinstance(fields.get(field), list):
            return other("otlp", word)
    if "publisherId" in fields and "resource" in fields:
        event = text(fields, "eventType")
        return other(
            "azure_devops", next((w for begin, w in _AZURE if event.startswith(begin)), "")
        )
    if "eventKey" in fields and "actor" in fields:  # Bitbucket's own server, unlike its cloud
        event = text(fields, "eventKey")
        return other("bitbucket", "pullrequest" if event.startswith("pr:") else "push")
    shape = next((kind for wanted, kind in _SHAPES if all(one in fields for one in wanted)), "")
    if not shape and text(fields, "apiVersion") and text(fields, "kind"):
        shape = "kubernetes_object" if inner(fields, "metadata") else ""
    return Other(shape) if shape else None

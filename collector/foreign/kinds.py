"""Payloads that are meant for somebody else: a closed set of words for what they are.

The words are labels of a published counter, so a sender cannot make one up; and one of them can
stand in a line, so that a replay ignores what was ignored when it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

TYPE: Final = "plimsoll.ignored"
UNKNOWN: Final = "unknown"
_WORDS: Final = {
    "argocd": "application card commit_status sync_status",
    "azure_devops": "build git release workitem",
    "bitbucket": "push pullrequest",
    "cdevents": "approval artifact branch build change custom environment incident link "
    "pipelinerun repository service taskrun testcaserun testoutput testsuiterun ticket",
    "flagger": "event hook",
    "github": "alert branch_protection check_run check_suite comment create delete "
    "deployment_protection deployment_review deployment_status discussion fork installation issues "
    "label marketplace member merge_group milestone package page_build ping project pull_request "
    "push registry_package release sponsorship star status team workflow_dispatch workflow_job "
    "workflow_run",
    "gitlab": "access_token build deployment emoji feature_flag issue member merge_request "
    "milestone note pipeline push release system tag_push wiki_page work_item",
    "gogs": "push",
    "grafana": "alert annotation",
    "otlp": "send_to_v1_logs send_to_v1_metrics send_to_v1_traces",
}
_ALONE: Final = ("alertmanager", "docker_push", "json_schema", "kubernetes_object", UNKNOWN)
KINDS: Final = frozenset(
    [
        *(f"{tool}_{word}" for tool, words in _WORDS.items() for word in words.split()),
        *(f"{tool}_other" for tool in _WORDS),
        *_ALONE,
    ]
)


@dataclass(frozen=True, slots=True)
class Other:
    """A payload that is neither event nor marker, and no fault of its sender."""

    kind: str


class _Line(msgspec.Struct, frozen=True, tag_field="type", tag=TYPE):
    kind: str


def other(tool: str, word: str) -> Other:
    """What a payload of a tool is, in a word of the closed set.

    >>> other("github", "push").kind, other("github", "brand_new_event").kind
    ('github_push', 'github_other')
    """
    kind = f"{tool}_{word}"
    return Other(kind if kind in KINDS else f"{tool}_other")


def line(kind: str) -> bytes:
    """The line that stands for a payload that was ignored where it came in; ``kind`` of KINDS."""
    return msgspec.json.encode(_Line(kind))


def told(fields: Mapping[str, object]) -> Other | None:
    """What such a line says."""
    if fields.get("type") != TYPE:
        return None
    kind = fields.get("kind")
    return Other(kind) if isinstance(kind, str) and kind in KINDS else None

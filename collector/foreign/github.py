"""GitHub webhooks: ``deployment`` and ``deployment_status``; the others are known and left alone.

Which event it is says a header, ``X-GitHub-Event``; the bodies alone tell it just as well, and
files and Kafka have nothing else. Source: GitHub's documentation of webhook events and payloads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from collector.decoding.said import Loose
from collector.foreign.kinds import Other, other
from collector.foreign.release import FAILED, FINISHED, OK, STARTED, marker
from collector.foreign.values import inner, name, text, value, version_of, word

# `inactive` says that a later deployment has taken over: nothing that its own release did.
_STATES: Final = {
    "queued": (STARTED, ""),
    "pending": (STARTED, ""),
    "waiting": (STARTED, ""),
    "in_progress": (STARTED, ""),
    "success": (FINISHED, OK),
    "failure": (FINISHED, FAILED),
    "error": (FINISHED, FAILED),
}
# Events that carry a deployment beside what they are about.
_BESIDE: Final = ("workflow_job", "check_run", "deployment_callback_url", "since")
# The first field found names the event; the more special ones stand first.
_EVENTS: Final = (
    ("zen", "ping"),
    ("deployment_callback_url", "deployment_protection"),
    ("workflow_job_run", "deployment_review"),
    ("workflow_job_runs", "deployment_review"),
    ("approver", "deployment_review"),
    ("reviewers", "deployment_review"),
    ("workflow_job", "workflow_job"),
    ("check_run", "check_run"),
    ("check_suite", "check_suite"),
    ("workflow_run", "workflow_run"),
    ("merge_group", "merge_group"),
    ("comment", "comment"),
    ("pull_request", "pull_request"),
    ("release", "release"),
    ("registry_package", "registry_package"),
    ("package", "package"),
    ("discussion", "discussion"),
    ("issue", "issues"),
    ("milestone", "milestone"),
    ("label", "label"),
    ("forkee", "fork"),
    ("starred_at", "star"),
    ("project", "project"),
    ("projects_v2", "project"),
    ("projects_v2_item", "project"),
    ("project_card", "project"),
    ("project_column", "project"),
    ("alert", "alert"),
    ("security_advisory", "alert"),
    ("sponsorship", "sponsorship"),
    ("marketplace_purchase", "marketplace"),
    ("team", "team"),
    ("build", "page_build"),
    ("member", "member"),
    ("state", "status"),
    ("inputs", "workflow_dispatch"),
    ("client_payload", "workflow_dispatch"),
    ("repositories", "installation"),
    ("rule", "branch_protection"),
    ("pusher", "push"),
    ("master_branch", "create"),
    ("pusher_type", "delete"),
)
# Events whose sender nobody tells.
_WITHOUT_SENDER: Final = ("security_advisory", "installation", "definition", "alert")


def understood(fields: Mapping[str, object]) -> Loose | Other | None:
    """What a GitHub webhook says; None if the object is none."""
    repository = inner(fields, "repository")
    if text(repository, "full_name") and isinstance(fields.get("deployment"), dict):
        if isinstance(fields.get("deployment_status"), dict):
            return _of_status(fields)
        if not any(fields.get(one) for one in _BESIDE) and fields.get("action") in (
            "created",
            None,
        ):
            return _of_deployment(fields)
    if not _is_one(fields, repository):
        return None
    return other("github", next((said for one, said in _EVENTS if one in fields), "other"))


def _is_one(fields: Mapping[str, object], repository: Mapping[str, object]) -> bool:
    if "compare_url" in fields:  # Gogs and its kin look much alike
        return False
    if isinstance(fields.get("sender"), dict):
        return bool(text(fields, "action") or "full_name" in repository or "zen" in fields)
    if "zen" in fields and "hook_id" in fields:
        return True
    package = inner(fields, "package")
    known = any(isinstance(fields.get(one), dict) for one in _WITHOUT_SENDER)
    known |= "package_type" in package or "ecosystem" in package
    return bool(text(fields, "action")) and known


def _of_deployment(fields: Mapping[str, object]) -> Loose:
    deployment = inner(fields, "deployment")
    return _marker(
        fields,
        STARTED,
        id=name("github", "deployment", word(deployment, "id")),
        time=value(deployment, "created_at"),
    )


def _of_status(fields: Mapping[str, object]) -> Loose | Other:
    status = inner(fields, "deployment_status")
    known = _STATES.get(text(status, "state"))
    if known is None:
        return other("github", "deployment_status")
    event_type, outcome = known
    return _marker(
        fields,
        event_type,
        id=name("github", "deployment_status", word(status, "id")),
        time=value(status, "created_at"),
        outcome=outcome,
    )


def _marker(
    fields: Mapping[str, object],
    event_type: str,
    *,
    id: str,  # noqa: A002 - the field's name
    time: object,
    outcome: str = "",
) -> Loose:
    deployment = inner(fields, "deployment")
    repository = text(fields, "repository", "full_name")
    number = word(deployment, "id")
    environment = text(deployment, "environment")
    environment = environment or text(fields, "deployment_status", "environment")
    return marker(
        event_type,
        id=id,
        time=time,
        deployment=name("github", repository, environment, number) if number else "",
        service=text(fields, "repository", "name") or repository.rpartition("/")[2],
        version=version_of(text(deployment, "ref"), text(deployment, "sha")),
        environment=environment,
        outcome=outcome,
        own=_payload(deployment),
    )


def _payload(deployment: Mapping[str, object]) -> Mapping[str, object]:
    """What the one who deploys wrote into the deployment: an object, or the text of one."""
    payload = deployment.get("payload")
    if isinstance(payload, str) and payload.lstrip().startswith("{"):
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError):
            return {}
    said = payload if isinstance(payload, dict) else {}
    # The name of the release is GitHub's number, which its start and its end share.
    return {one: what for one, what in said.items() if one != "deployment"}

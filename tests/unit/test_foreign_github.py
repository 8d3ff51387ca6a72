"""GitHub and GitLab: which deployment events become which markers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from analyzers.facts import Marker
from analyzers.timeline import timeline
from tests.payloads import decoded

SHA = "0123456789abcdef0123456789abcdef01234567"


def github(state: str = "", **changes: Any) -> dict[str, Any]:
    """A deployment of GitHub, or a status of it; changes are made to the deployment."""
    said: dict[str, Any] = {
        "action": "created",
        "deployment": {
            "id": 9,
            "sha": SHA,
            "ref": "main",
            "task": "deploy",
            "payload": {},
            "environment": "production",
            "created_at": "2026-05-21T12:00:00Z",
            "updated_at": "2026-05-21T12:00:09Z",
            **changes,
        },
        "repository": {"id": 1, "name": "orders", "full_name": "acme/orders", "node_id": "R_1"},
        "sender": {"login": "ann"},
    }
    if state:
        said["deployment_status"] = {
            "id": 90,
            "state": state,
            "environment": "production",
            "created_at": "2026-05-21T12:05:00Z",
        }
    return said


def gitlab(status: str, **changes: Any) -> dict[str, Any]:
    """A deployment event of GitLab."""
    return {
        "object_kind": "deployment",
        "status": status,
        "status_changed_at": "2026-05-21 14:05:00 +0200",
        "deployment_id": 15,
        "environment": "staging",
        "project": {"name": "Order API", "path_with_namespace": "acme/shop/order-api"},
        "short_sha": "279484c0",
        "commit_url": "https://git.example/acme/shop/order-api/-/commit/279484c09fbe",
        **changes,
    }


def only(*said: Any) -> Marker:
    """The one marker of some payloads."""
    batch = decoded(*said)
    assert (batch.rejects, batch.ignored) == ((), ())
    (marker,) = batch.markers
    return marker


@pytest.mark.parametrize(
    ("state", "kind", "outcome"),
    [
        ("queued", "deployment.started", ""),
        ("pending", "deployment.started", ""),
        ("waiting", "deployment.started", ""),
        ("in_progress", "deployment.started", ""),
        ("success", "deployment.finished", "ok"),
        ("failure", "deployment.finished", "failed"),
        ("error", "deployment.finished", "failed"),
    ],
)
def test_a_status_says_how_far_a_github_deployment_is(state: str, kind: str, outcome: str) -> None:
    marker = only(github(state))
    assert (marker.type, marker.outcome) == (kind, outcome)
    assert marker.time_ns == 1_779_365_100_000_000_000
    assert marker.deployment == only(github()).deployment


@pytest.mark.parametrize("state", ["inactive", "brand_new"])
def test_a_status_that_says_nothing_about_its_own_release_is_ignored(state: str) -> None:
    batch = decoded(github(state))
    assert [one.kind for one in batch.ignored] == ["github_deployment_status"]
    assert (batch.markers, batch.rejects) == ((), ())


def test_start_and_end_of_a_github_deployment_meet() -> None:
    told = decoded(github(), github("in_progress"), github("success")).markers
    (release,) = timeline(told).deployments
    assert (release.started_ns, release.ended_ns) == (
        1_779_364_800_000_000_000,
        1_779_365_100_000_000_000,
    )
    assert (release.outcome, release.strategy, release.version) == ("ok", "rolling", SHA)


@pytest.mark.parametrize(
    ("ref", "version"),
    [
        ("main", SHA),
        ("release/1.4", SHA),
        ("refs/heads/main", SHA),
        ("v1.42.0", "v1.42.0"),
        ("1.42.0-rc.1", "1.42.0-rc.1"),
        ("refs/tags/summer", "summer"),
    ],
)
def test_a_tag_is_the_version_and_a_branch_is_not(ref: str, version: str) -> None:
    assert only(github(ref=ref)).version == version
    assert only(gitlab("running", ref=ref)).version == version.replace(SHA, "279484c0")


@pytest.mark.parametrize("as_text", [False, True])
def test_the_payload_of_a_github_deployment_may_name_what_github_cannot(as_text: bool) -> None:
    own = '{"service":"order-api","version":"1.42.0","strategy":"Blue-Green","owner":"team-orders",'
    own += '"runbook":"https://r.example","deployment":"x","cohort":{"warehouse":["W1"]}}'
    marker = only(github(payload=own if as_text else json.loads(own)))
    assert (marker.service, marker.version, marker.owner) == ("order-api", "1.42.0", "team-orders")
    assert (marker.strategy, marker.cohort) == ("blue_green", {"warehouse": ("W1",)})
    assert (marker.runbook, marker.deployment) == (
        "https://r.example",
        "github/acme/orders/production/9",
    )


@pytest.mark.parametrize("payload", ["", "{", "[1]", None, 7, {"strategy": "yolo"}, "[" * 9999])
def test_a_payload_of_another_kind_is_left_alone(payload: Any) -> None:
    assert only(github(payload=payload)).strategy == "rolling"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha": None}, "marker_invalid"),
        ({"created_at": None}, "missing_field"),
        ({"created_at": "yesterday"}, "time_invalid"),
        ({"id": None}, "marker_invalid"),
        ({"environment": "x" * 300}, "field_too_long"),
    ],
)
def test_a_github_deployment_that_lacks_something_is_refused(change: Any, reason: str) -> None:
    batch = decoded(github(**change))
    assert [reject.reason for reject in batch.rejects] == [reason]
    assert batch.markers == ()
    assert batch.rejects[0].service == "orders"


@pytest.mark.parametrize(
    ("beside", "kind"),
    [
        ({"action": "queued", "workflow_job": {"id": 1}}, "github_workflow_job"),
        ({"check_run": {"id": 1}}, "github_check_run"),
        (
            {"action": "requested", "deployment_callback_url": "https://g.example"},
            "github_deployment_protection",
        ),
        ({"action": "requested", "workflow_job_run": {}, "since": "x"}, "github_deployment_review"),
        ({"action": "brand_new"}, "github_other"),
    ],
)
def test_a_deployment_beside_another_event_is_not_that_event(beside: Any, kind: str) -> None:
    batch = decoded(github() | beside)
    assert [one.kind for one in batch.ignored] == [kind]


@pytest.mark.parametrize(
    ("status", "kind", "outcome"),
    [
        ("created", "deployment.started", ""),
        ("running", "deployment.started", ""),
        ("success", "deployment.finished", "ok"),
        ("failed", "deployment.finished", "failed"),
        ("canceled", "deployment.finished", "failed"),
    ],
)
def test_a_gitlab_deployment_says_how_far_it_is(status: str, kind: str, outcome: str) -> None:
    marker = only(gitlab(status))
    assert (marker.type, marker.outcome) == (kind, outcome)
    assert (marker.service, marker.version) == ("order-api", "279484c0")
    assert (marker.environment, marker.time_ns) == ("staging", 1_779_365_100_000_000_000)
    assert marker.deployment == "gitlab/acme/shop/order-api/15"
    assert marker.id.endswith(status)


@pytest.mark.parametrize("status", ["blocked", "skipped", "brand_new"])
def test_a_gitlab_deployment_that_touches_nothing_is_ignored(status: str) -> None:
    assert [one.kind for one in decoded(gitlab(status)).ignored] == ["gitlab_deployment"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"object_kind": "pipeline", "object_attributes": {}}, "gitlab_pipeline"),
        ({"object_kind": "build", "build_id": 1}, "gitlab_build"),
        ({"object_kind": "brand_new"}, "gitlab_other"),
        ({"event_name": "project_create", "project_id": 1}, "gitlab_system"),
    ],
)
def test_other_events_of_gitlab_are_ignored(said: Any, kind: str) -> None:
    assert [one.kind for one in decoded(said).ignored] == [kind]


def test_a_gitlab_time_in_any_of_its_spellings_is_read() -> None:
    for time in (
        "2026-05-21 12:05:00 UTC",
        "2026-05-21T12:05:00Z",
        "2026-05-21 14:05:00.000 +02:00",
        1_779_365_100_000,
    ):
        assert only(gitlab("running", status_changed_at=time)).time_ns == 1_779_365_100_000_000_000


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"action": "created", "sponsorship": {}, "sender": {}}, "github_sponsorship"),
        ({"action": "moved", "project_card": {}, "sender": {}}, "github_project"),
        ({"action": "published", "security_advisory": {}}, "github_alert"),
        ({"action": "created", "alert": {}, "repository": {}}, "github_alert"),
        ({"action": "renamed", "account": {}, "installation": {}}, "github_other"),
        ({"action": "approved", "approver": {}, "workflow_run": {}, "sender": {}},
         "github_deployment_review"),
        ({"action": "published", "package": {"package_type": "x"}}, "github_package"),
        ({"zen": "x", "hook_id": 1, "hook": {}}, "github_ping"),
    ],
)  # fmt: skip
def test_events_of_github_without_repository_or_sender_are_known(said: Any, kind: str) -> None:
    batch = decoded(said)
    assert [one.kind for one in batch.ignored] == [kind]

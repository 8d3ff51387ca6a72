"""Argo CD, Flagger, CDEvents and Grafana: what they tell of a rollout."""

from __future__ import annotations

from typing import Any

import pytest

from analyzers.facts import Marker
from analyzers.timeline import timeline
from tests.payloads import decoded

BEGAN, ENDED, LATER = (f"2026-05-21T12:0{minute}:00Z" for minute in (0, 5, 9))
BEGAN_NS, ENDED_NS, LATER_NS = (1_779_364_800_000_000_000 + n * 10**9 for n in (0, 300, 540))
STARTED, SHIFTED, FINISHED, ROLLED_BACK = (
    f"deployment.{word}" for word in ("started", "shifted", "finished", "rolled_back")
)


def only(*said: Any) -> Marker:
    """The one marker of some payloads."""
    batch = decoded(*said)
    assert (batch.rejects, batch.ignored) == ((), ())
    (marker,) = batch.markers
    return marker


def kinds(*said: Any) -> list[str]:
    """What some payloads are ignored as, nothing else being said."""
    batch = decoded(*said)
    assert (batch.rejects, batch.markers, len(batch.facts)) == ((), (), 0)
    return [one.kind for one in batch.ignored]


def application(phase: str, health: str = "Healthy", **metadata: Any) -> dict[str, Any]:
    """An Application of Argo CD as it is after, or during, a sync."""
    over = {} if phase == "Running" else {"finishedAt": ENDED}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "orders", "namespace": "argocd", **metadata},
        "spec": {"project": "shop", "destination": {"namespace": "orders"}},
        "status": {
            "sync": {"status": "Synced", "revision": "abc1234"},
            "health": {"status": health, "lastTransitionTime": LATER},
            "operationState": {
                "phase": phase,
                "startedAt": BEGAN,
                "syncResult": {"revision": "abc1234"},
                **over,
            },
        },
    }


@pytest.mark.parametrize(
    ("phase", "health", "kind", "outcome", "time_ns"),
    [
        ("Running", "Healthy", STARTED, "", BEGAN_NS),
        ("Running", "Progressing", STARTED, "", BEGAN_NS),
        ("Succeeded", "Progressing", STARTED, "", BEGAN_NS),
        ("Succeeded", "Healthy", FINISHED, "ok", ENDED_NS),
        ("Succeeded", "Degraded", FINISHED, "failed", LATER_NS),
        ("Failed", "Healthy", FINISHED, "failed", ENDED_NS),
        ("Error", "Degraded", FINISHED, "failed", ENDED_NS),
    ],
)
def test_an_application_says_how_far_its_sync_is(
    phase: str, health: str, kind: str, outcome: str, time_ns: int
) -> None:
    for said in (
        application(phase, health),
        {"app": application(phase, health)},
        {"trigger": "on-deployed", "application": application(phase, health)},
    ):
        marker = only(said)
        assert (marker.type, marker.outcome, marker.time_ns) == (kind, outcome, time_ns)
        assert (marker.service, marker.version, marker.environment) == (
            *("orders", "abc1234", "production"),
        )
        assert marker.deployment == f"argocd/argocd/orders/abc1234/{BEGAN}"


def test_labels_and_annotations_of_an_application_say_whose_it_is() -> None:
    notes = {"plimsoll/service": "order-api", "plimsoll/owner": "team", "plimsoll/version": "1.42"}
    said = application("Running", labels={"env": "staging"}, annotations=notes)
    marker = only(said)
    assert (marker.service, marker.owner, marker.version) == ("order-api", "team", "1.42")
    assert marker.environment == "staging"
    said["metadata"]["labels"] = {}
    said["spec"]["destination"]["namespace"] = "qa"
    assert only(said).environment == "qa"


def test_start_and_end_of_a_sync_meet_and_the_next_sync_of_a_revision_is_another() -> None:
    again = application("Running")
    again["status"]["operationState"]["startedAt"] = LATER
    told = decoded(application("Running"), application("Succeeded"), again).markers
    first, second = timeline(told).deployments
    assert (first.started_ns, first.ended_ns, first.outcome) == (BEGAN_NS, ENDED_NS, "ok")
    assert (second.started_ns, second.ended_ns) == (LATER_NS, None)


@pytest.mark.parametrize(
    ("body", "kind", "outcome", "time_ns"),
    [
        ({"app": "orders", "phase": "Running", "startedAt": BEGAN}, STARTED, "", BEGAN_NS),
        (
            {"application": "orders", "syncStatus": "Synced", "healthStatus": "Healthy",
             "timestamp": ENDED},
            FINISHED, "ok", ENDED_NS,
        ),
        (
            {"app_name": "orders", "sync_status": "Synced", "health_status": "Degraded",
             "time": ENDED},
            FINISHED, "failed", ENDED_NS,
        ),
        (
            {"name": "orders", "status": "Synced", "health": {"status": "Progressing"},
             "started_at": BEGAN, "finished_at": ENDED},
            STARTED, "", BEGAN_NS,
        ),
        (
            {"app": {"name": "orders"}, "phase": "Failed", "finishedAt": ENDED},
            FINISHED, "failed", ENDED_NS,
        ),
        (
            {"app": "orders", "status": "Succeeded", "finishedAt": ENDED,
             "startedAt": "<no value>"},
            FINISHED, "ok", ENDED_NS,
        ),
        (
            {"app": "orders", "status": {"sync": {"status": "Synced", "revision": "abc1234"},
             "health": {"status": "Healthy"},
             "operationState": {"phase": "Succeeded", "finishedAt": ENDED}}},
            FINISHED, "ok", ENDED_NS,
        ),
    ],
)  # fmt: skip
def test_a_body_that_a_template_wrote_is_understood_by_argo_cds_words(
    body: Any, kind: str, outcome: str, time_ns: int
) -> None:
    marker = only(body | {"revision": "abc1234"})
    assert (marker.type, marker.outcome, marker.time_ns) == (kind, outcome, time_ns)
    assert (marker.service, marker.version) == ("orders", "abc1234")


def test_a_body_without_a_time_is_refused_and_none_is_made_up() -> None:
    (reject,) = decoded({"app": "orders", "revision": "abc", "phase": "Running"}).rejects
    assert (reject.reason, reject.service) == ("missing_field", "orders")
    assert "field time is missing" in reject.detail


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (application("Terminating"), "argocd_sync_status"),
        (application("Succeeded", "Suspended"), "argocd_sync_status"),
        ({"app": "orders", "sync": "OutOfSync", "health": "Healthy"}, "argocd_sync_status"),
        (
            {"context": "continuous-delivery/orders", "state": "success", "target_url": "x"},
            "argocd_commit_status",
        ),
        (
            {"title": "orders", "title_link": "https://a.example", "color": "#18be52",
             "fields": [{"title": "Revision", "value": "abc"}]},
            "argocd_card",
        ),
        ({"@type": "MessageCard", "title": "Application orders has degraded."}, "argocd_card"),
        (
            {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "x"}},
            "kubernetes_object",
        ),
    ],
)  # fmt: skip
def test_what_argo_cd_says_of_no_rollout_is_ignored(said: Any, kind: str) -> None:
    assert kinds(said) == [kind]


def flagger(message: str, **changes: Any) -> dict[str, Any]:
    """What Flagger's event webhook sends."""
    return {
        "name": "orders",
        "namespace": "shop",
        "phase": "Progressing",
        "checksum": "85d557f47b",
        "metadata": {
            "eventMessage": message,
            "eventType": "Normal",
            "timestamp": "1779364800000",
        },
        **changes,
    }


@pytest.mark.parametrize(
    ("message", "kind", "outcome", "share"),
    [
        ("New revision detected! Scaling up orders.shop", STARTED, "", None),
        ("New revision detected! Restarting analysis for orders.shop", STARTED, "", None),
        ("Starting canary analysis for orders.shop", STARTED, "", None),
        ("Advance orders.shop canary weight 5", SHIFTED, "", 0.05),
        ("Advance orders.shop canary weight 500", SHIFTED, "", None),
        ("Routing all traffic to canary", SHIFTED, "", 1.0),
        ("Promotion completed! Scaling down orders.shop", FINISHED, "ok", None),
        (
            "Promotion completed! Canary analysis was skipped for orders.shop",
            FINISHED, "ok", None,
        ),
        ("Promotion of orders.shop failed, primary not ready: x", FINISHED, "failed", None),
        ("Rolling back orders.shop failed checks threshold reached 5", ROLLED_BACK, "", None),
        ("Rolling back orders.shop manual webhook invoked", ROLLED_BACK, "", None),
        ("Canary failed! Scaling down orders.shop", ROLLED_BACK, "", None),
    ],
)  # fmt: skip
def test_an_event_of_flagger_tells_a_step_of_a_canary(
    message: str, kind: str, outcome: str, share: float | None
) -> None:
    marker = only(flagger(message))
    assert (marker.type, marker.outcome, marker.share) == (kind, outcome, share)
    assert (marker.service, marker.version, marker.environment) == (
        *("orders", "85d557f47b", "production"),
    )
    assert (marker.deployment, marker.strategy) == ("shop/orders/85d557f47b", "canary")
    assert marker.time_ns == BEGAN_NS


@pytest.mark.parametrize(
    "message",
    [
        "Initialization done! orders.shop",
        "Halt orders.shop advancement success rate 90.00% < 99%",
        "Advance orders.shop primary weight 50",
        "Advance orders.shop canary iteration 1/10",
        "Copying orders.shop template spec to orders-primary.shop",
        "Routing all traffic to primary",
        "all the metrics providers are available!",
    ],
)
def test_other_events_of_flagger_are_ignored(message: str) -> None:
    assert kinds(flagger(message)) == ["flagger_event"]


def test_a_hook_of_flagger_says_neither_what_nor_when() -> None:
    assert kinds(flagger("", metadata={"test": "all"})) == ["flagger_hook"]
    assert kinds(flagger("", metadata=None)) == ["flagger_hook"]


def test_metadata_of_the_webhook_say_whose_a_canary_is() -> None:
    said = flagger("Starting canary analysis for orders.shop", namespace="staging")
    said["metadata"] |= {"service": "order-api", "version": "1.42.0", "deployment": "always"}
    marker = only(said)
    assert (marker.service, marker.version, marker.environment) == (
        *("order-api", "1.42.0", "staging"),
    )
    assert marker.deployment == "staging/orders/85d557f47b"


def cdevent(kind: str, content: Any, **more: Any) -> dict[str, Any]:
    """A CDEvent of the service orders, or of a run; ``more`` goes into the context."""
    own = more.pop("customData", None)
    said = {
        "context": {
            "version": "0.4.1",
            "id": f"id-{kind}",
            "source": "/ci",
            "type": f"dev.cdevents.{kind}.0.2.0",
            "timestamp": BEGAN,
            **more,
        },
        "subject": {"id": "orders", "source": "/ci", "content": content},
    }
    return said if own is None else said | {"customData": own}


PLACE = {"environment": {"id": "staging"}, "artifactId": "pkg:oci/orders@1.42.0"}


def test_events_of_one_chain_are_one_release() -> None:
    told = decoded(
        cdevent("service.deployed", PLACE, chainId="c"),
        cdevent("service.rolledback", PLACE, chainId="c", timestamp=ENDED),
    ).markers
    (release,) = timeline(told).deployments
    assert release.rolled_back
    assert (release.name, release.version) == ("cdevents/orders/staging/c", "1.42.0")


def test_without_a_chain_a_link_says_which_event_is_followed() -> None:
    deployed = cdevent("service.deployed", PLACE)
    for link in (
        {"linkType": "END", "from": {"contextId": deployed["context"]["id"]}},
        {"linkType": "RELATION", "linkKind": "x",
         "target": {"contextId": deployed["context"]["id"]}},
    ):  # fmt: skip
        back = cdevent("service.rolledback", PLACE, links=["x", link], timestamp=ENDED)
        (release,) = timeline(decoded(deployed, back).markers).deployments
        assert release.rolled_back


def test_services_and_environments_of_one_chain_are_releases_of_their_own() -> None:
    other = {"environment": {"id": "production"}, "artifactId": "pkg:oci/orders@1.42.0"}
    told = decoded(
        cdevent("service.deployed", PLACE, chainId="c"),
        cdevent("service.upgraded", other, chainId="c"),
    ).markers
    assert len(timeline(told).deployments) == 2


def test_a_run_is_a_marker_only_where_its_custom_data_name_the_service() -> None:
    own = {"service": "orders", "environment": "staging", "version": "1.42.0"}
    assert kinds(cdevent("pipelinerun.started", {"pipelineName": "deploy"})) == [
        "cdevents_pipelinerun"
    ]
    for run in ("pipelinerun", "taskrun"):
        told = decoded(
            cdevent(f"{run}.started", {}, customData=own),
            cdevent(f"{run}.finished", {"outcome": "failure"}, customData=own, timestamp=ENDED),
        ).markers
        (release,) = timeline(told).deployments
        assert (release.version, release.outcome) == ("1.42.0", "failed")
        assert (release.environment, release.ended_ns) == ("staging", ENDED_NS)


def test_a_link_on_its_own_says_nothing_of_a_release() -> None:
    link = {"chainId": "c", "linkType": "START", "timestamp": BEGAN, "start": {"contextId": "x"}}
    assert kinds(link) == ["cdevents_link"]


def test_a_service_that_is_published_or_removed_names_no_version() -> None:
    place = {"environment": {"id": "staging"}}
    said = [cdevent(f"service.{word}", place) for word in ("published", "removed")]
    assert kinds(*said) == ["cdevents_service"] * 2


def test_an_annotation_is_a_marker_if_its_tags_name_service_and_version() -> None:
    tags = ["deploy", "service:order-api", "version=1.42.0", "environment:staging"]
    marker = only({"time": 1_779_364_800_000, "tags": tags, "text": "deploy"})
    assert (marker.type, marker.service, marker.version) == (STARTED, "order-api", "1.42.0")
    assert (marker.environment, marker.time_ns) == ("staging", BEGAN_NS)
    graphite = {"what": "deploy", "when": 1_779_364_800, "tags": " ".join(tags[1:]), "data": ""}
    assert only(graphite).deployment == marker.deployment
    assert kinds({"text": "deploy", "tags": tags}) == ["grafana_annotation"]
    assert kinds({"what": "deploy", "when": "now", "tags": None}) == ["grafana_annotation"]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"resourceLogs": []}, "otlp_send_to_v1_logs"),
        ({"resourceMetrics": []}, "otlp_send_to_v1_metrics"),
        ({"resourceSpans": []}, "otlp_send_to_v1_traces"),
        ({"publisherId": "rm", "resource": {}, "eventType": "new"}, "azure_devops_other"),
        ({"eventKey": "pr:opened", "actor": {}}, "bitbucket_pullrequest"),
        ({"push": {}, "actor": {}, "repository": {}}, "bitbucket_push"),
        ({"alerts": [], "groupKey": "x", "receiver": "y"}, "alertmanager"),
        ({"push_data": {}, "callback_url": "x", "repository": {}}, "docker_push"),
        ({"ruleUrl": "x", "state": "alerting"}, "grafana_alert"),
    ],
)
def test_what_is_meant_for_others_is_known_by_its_shape(said: Any, kind: str) -> None:
    assert kinds(said) == [kind]

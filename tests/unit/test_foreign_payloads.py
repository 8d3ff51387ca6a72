"""Every shared payload of other tools becomes the right marker, or is ignored with the right word.

What is expected was derived by hand from each tool's documentation; only file names stand here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from analyzers.facts import Batch, Marker
from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.decoding.times import parse
from collector.foreign.kinds import KINDS
from collector.foreign.posted import line
from collector.posted.bodies import Shape, split

SHA = "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"
DIGEST = "sha256:0b31b1c02ff458ad9b7b81cbdf8f028bd54699fa151f221d1e8de6817db93427"
STARTED, FINISHED, ROLLED_BACK = (
    f"deployment.{word}" for word in ("started", "finished", "rolled_back")
)
HELLO = "Hello-World"
CDEVENT = ("mySubject123", DIGEST, "test123", "2023-03-20T14:27:05.315384Z")

# type, service, version, environment, time, outcome. GitHub: the repository, the commit (its ref
# is a branch), the environment and the time of the deployment or of its status. GitLab: the
# project's path, the short commit, the time the status changed. CDEvents: the subject, the version
# in the package URL of the artifact, the environment's id, the time of the context.
MARKERS: dict[str, tuple[str, str, str, str, str, str]] = {
    "github/deployment/payload.json": (
        *(STARTED, HELLO, SHA, "production", "2019-05-15T15:20:53Z", ""),
    ),
    "github/deployment/with-installation.payload.json": (
        *(STARTED, HELLO, SHA, "production", "2019-05-15T15:20:53Z", ""),
    ),
    "github/deployment/gh-pages.payload.json": (
        *(STARTED, HELLO, SHA, "github-pages", "2022-01-03T01:28:30Z", ""),
    ),
    "github/deployment_status/payload.json": (
        *(FINISHED, HELLO, SHA, "production", "2019-05-15T15:20:55Z", "ok"),
    ),
    "github/deployment_status/with-installation.payload.json": (
        *(FINISHED, HELLO, SHA, "production", "2019-05-15T15:20:55Z", "ok"),
    ),
    # Its state is in_progress.
    "github/deployment_status/gh-pages.payload.json": (
        *(STARTED, HELLO, SHA, "github-pages", "2022-01-03T01:28:40Z", ""),
    ),
    "gitlab/deployment_hook.json": (
        *(FINISHED, "test-deployment-webhooks", "279484c0", "staging"),
        *("2021-04-28T21:50:00+02:00", "ok"),
    ),
    "cdevents/conformance/service_deployed.json": (STARTED, *CDEVENT, "ok"),
    "cdevents/conformance/service_upgraded.json": (STARTED, *CDEVENT, "ok"),
    "cdevents/conformance/service_rolledback.json": (ROLLED_BACK, *CDEVENT, ""),
}
# The longest beginning of a path that is listed says what its files are; "" is what nobody knows.
IGNORED: dict[str, str] = {
    "argocd/applicationset/webhook/testdata/azuredevops": "azure_devops_git",
    "argocd/applicationset/webhook/testdata/github-commit": "github_push",
    "argocd/applicationset/webhook/testdata/github-ping": "github_ping",
    "argocd/applicationset/webhook/testdata/github-pull-request": "github_pull_request",
    "argocd/applicationset/webhook/testdata/gitlab-event": "gitlab_push",
    "argocd/applicationset/webhook/testdata/gitlab-merge-request": "gitlab_merge_request",
    "argocd/applicationset/webhook/testdata/invalid-event": "",
    "argocd/util/webhook/testdata/azuredevops": "azure_devops_git",
    "argocd/util/webhook/testdata/bitbucket-server": "bitbucket_push",
    "argocd/util/webhook/testdata/ghcr-package": "github_package",
    "argocd/util/webhook/testdata/github-commit": "github_push",
    "argocd/util/webhook/testdata/github-ping": "github_ping",
    "argocd/util/webhook/testdata/github-tag": "github_push",
    "argocd/util/webhook/testdata/gitlab-event": "gitlab_push",
    "argocd/util/webhook/testdata/gogs": "gogs_push",
    **{
        f"cdevents/conformance/{subject}_": f"cdevents_{subject}"
        for subject in (
            *("approval", "artifact", "branch", "build", "change", "environment", "incident"),
            *("pipelinerun", "repository", "service", "taskrun", "testcaserun", "testoutput"),
            *("testsuiterun", "ticket"),
        )
    },
    "cdevents/conformance/formats/domainid": "",  # test vectors, no event
    "cdevents/custom/conformance": "cdevents_custom",
    "cdevents/custom/schema": "json_schema",
    "cdevents/schemas/": "json_schema",
    "cloudevents/cloudevents": "json_schema",
    **{
        f"github/{event}/": f"github_{event}"
        for event in (
            *("check_suite", "deployment_review", "merge_group", "pull_request", "push", "release"),
            *("workflow_job", "workflow_run"),
        )
    },
    "grafana/": "grafana_annotation",  # its tags name neither service nor version
    "otlp/examples/events": "otlp_send_to_v1_logs",
    "otlp/examples/logs": "otlp_send_to_v1_logs",
    "otlp/examples/metrics": "otlp_send_to_v1_metrics",
    "otlp/examples/trace": "otlp_send_to_v1_traces",
}


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    """The folder of payloads."""
    return shared / "deployment_markers"


def read(path: Path) -> Batch:
    """A file as its body posted to the door would be read."""
    limits = Limits()
    body = path.read_bytes()
    payloads = split(body, shape=Shape.UNKNOWN, line_bytes=limits.line_bytes, most=10_000)
    return decode(payloads, attributes=frozenset(), limits=limits)


def told(marker: Marker) -> tuple[str, str, str, str, int, str]:
    """What a marker says, as in the table."""
    return (
        *(marker.type, marker.service, marker.version, marker.environment),
        *(marker.time_ns, marker.outcome),
    )


def test_every_deployment_payload_becomes_the_right_marker(folder: Path) -> None:
    for name, (*words, time, outcome) in MARKERS.items():
        batch = read(folder / name)
        assert (len(batch.facts), batch.rejects, batch.ignored) == (0, (), ()), name
        (marker,) = batch.markers
        assert told(marker) == (*words, parse(time), outcome), name


def test_every_other_payload_is_ignored_and_says_what_it_is(folder: Path) -> None:
    seen = set()
    for path in sorted(folder.rglob("*.json")):
        name = path.relative_to(folder).as_posix()
        if name in MARKERS:
            continue
        begin = max((one for one in IGNORED if name.startswith(one)), key=len, default=None)
        assert begin is not None, f"say what {name} is"
        seen.add(begin)
        batch = read(path)
        assert (len(batch.facts), batch.markers) == (0, ()), name
        assert [one.kind for one in batch.ignored] == ([IGNORED[begin]] if IGNORED[begin] else [])
        assert [reject.reason for reject in batch.rejects] == (
            [] if IGNORED[begin] else ["missing_field"]
        ), name
    assert seen == set(IGNORED)
    assert set(IGNORED.values()) - {""} <= KINDS


def test_at_the_door_of_markers_no_payload_is_refused(folder: Path) -> None:
    limits = Limits()
    for path in sorted(folder.rglob("*.json")):
        body = path.read_bytes()
        (payload,) = split(body, shape=Shape.UNKNOWN, line_bytes=len(body), most=10)
        for size in (limits.line_bytes, 900):  # the second: nearly all are longer than a line
            kept = line(payload, line_bytes=size)
            batch = decode([kept], attributes=frozenset(), limits=limits)
            assert batch.rejects == (), path
            assert len(batch.ignored) + len(batch.markers) == 1
            again = read(path)
            assert batch.markers == again.markers
            assert size == 900 or batch.ignored == again.ignored or again.rejects


def test_files_that_are_no_json_never_stop_a_batch(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".json":
            batch = read(path)
            assert (len(batch.facts), batch.markers) == (0, ())


def test_all_markers_of_one_folder_can_come_in_one_stream(folder: Path) -> None:
    """No two rollouts share a name unless service and environment are the same."""
    whose: dict[str, tuple[str, str]] = {}
    for name in MARKERS:
        (marker,) = read(folder / name).markers
        assert whose.setdefault(marker.deployment, (marker.service, marker.environment)) == (
            marker.service,
            marker.environment,
        )
    starts = {m.deployment for n in MARKERS for m in read(folder / n).markers if m.type == STARTED}
    assert {m.deployment for n in MARKERS for m in read(folder / n).markers} - starts == {
        "gitlab/root/test-deployment-webhooks/15"  # its start is not among the files
    }


def test_the_cdevents_are_valid_against_their_schemas(folder: Path) -> None:
    schemas: dict[str, Any] = {}
    for path in (folder / "cdevents" / "schemas").rglob("*.json"):
        schema = json.loads(path.read_text())
        if "$schema" in schema:
            schemas[schema["$id"]] = schema
    registry: Registry[Any] = Registry().with_resources(
        (uri, Resource.from_contents(schema)) for uri, schema in schemas.items()
    )
    checked = set()
    for name in MARKERS:
        if not name.startswith("cdevents/"):
            continue
        event = json.loads((folder / name).read_text())
        _, _, subject, predicate, *_ = event["context"]["type"].split(".")
        uri = f"https://cdevents.dev/0.6.0-draft/schema/{subject}-{predicate}-event"
        Draft202012Validator(schemas[uri], registry=registry).validate(event)
        checked.add(predicate)
    assert checked == {"deployed", "upgraded", "rolledback"}

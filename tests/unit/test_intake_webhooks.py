"""The door for other tools: CloudEvents in headers, the handshake, forms, signatures."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import httpx
import pytest
from starlette.applications import Starlette

from analyzers.facts import Batch
from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.foreign.signatures import WebhookSecrets
from collector.posted.intake import Intake
from collector.posted.waiting import Answer, WaitingRoom
from tests.payloads import event, marker
from tests.unit.test_foreign_cloudevents import envelope
from tests.unit.test_foreign_github import github, gitlab

LIMITS = Limits()
SECRETS = WebhookSecrets(github="It's a Secret to Everybody", gitlab="tanuki")
PING = {"zen": "Keep it simple", "hook_id": 1, "hook": {}, "sender": {}, "repository": {}}


class Door:
    """An intake whose requests are answered at once, and what came through it."""

    def __init__(self, client: httpx.AsyncClient, room: WaitingRoom, intake: Intake) -> None:
        self.client, self.room, self.intake = client, room, intake
        self.payloads: list[bytes] = []

    async def post(
        self, body: bytes, headers: dict[str, str] | None = None, *, path: str = "/v1/markers"
    ) -> httpx.Response:
        self.payloads = []
        task = asyncio.create_task(self.client.post(path, content=body, headers=headers))
        while not task.done():
            for request in self.room.take(events=99, size=1 << 30):
                self.payloads += request.payloads
                request.settle(Answer(accepted=len(request.payloads)))
                self.room.release([request])
            await asyncio.sleep(0)
        return task.result()

    def said(self) -> Batch:
        """What the payloads say that came through last."""
        return decode(self.payloads, attributes=frozenset(), limits=LIMITS)


def run(work: Callable[[Door], Awaitable[None]], *, secrets: WebhookSecrets | None = None) -> None:
    async def around() -> None:
        room = WaitingRoom(events=1000, size=1 << 30)
        intake = Intake(room, limits=LIMITS, now_s=lambda: 0.0, webhooks=secrets)
        transport = httpx.ASGITransport(Starlette(routes=intake.routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await work(Door(client, room, intake))

    asyncio.run(around())


def signed(body: bytes, secret: str = SECRETS.github) -> dict[str, str]:
    """The headers with which GitHub sends a body."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-GitHub-Event": "ping", "X-Hub-Signature-256": f"sha256={digest}"}


def test_a_cloudevent_in_headers_is_one_event() -> None:
    async def work(door: Door) -> None:
        headers = {
            "ce-specversion": "1.0",
            "ce-id": "ce%201",
            "ce-source": "/order-api",
            "ce-type": "order.submitted",
            "ce-time": "2026-05-21T12:00:00Z",
            "content-type": "application/json",
        }
        for path in ("/v1/events", "/v1/markers"):
            response = await door.post(b'{\n  "value": 12.5\n}\n', headers, path=path)
            assert response.status_code == 202
            (line,) = door.payloads
            assert json.loads(line)["id"] == "ce 1"
            assert door.said().facts.value.tolist() == [12.5]
            assert door.said().facts.service.strings() == ["order-api"]
        response = await door.post(b"<order/>", headers | {"content-type": "application/xml"})
        assert (response.status_code, len(door.payloads)) == (202, 1)

    run(work)


def test_structured_and_batched_cloudevents_are_read() -> None:
    said = {"specversion": "1.0", "id": "1", "source": "/a", "type": "x", "data": event()}
    structured, batch = json.dumps(said).encode(), json.dumps([said, said | {"id": "2"}]).encode()

    async def work(door: Door) -> None:
        # The headers of binary mode mean nothing beside an envelope.
        headers = {"content-type": "application/cloudevents+json", "ce-specversion": "1.0"}
        await door.post(structured, headers)
        assert len(door.said().facts) == 1
        await door.post(batch, {"content-type": "application/cloudevents-batch+json"})
        assert len(door.said().facts) == 2

    run(work)


def test_whoever_asks_before_delivering_is_told_to_go_on() -> None:
    async def work(door: Door) -> None:
        for path in ("/v1/events", "/v1/markers"):
            asked = {"WebHook-Request-Origin": "events.example", "WebHook-Request-Rate": "120"}
            response = await door.client.options(path, headers=asked)
            assert response.status_code == 200
            assert response.headers["webhook-allowed-origin"] == "events.example"
            assert response.headers["webhook-allowed-rate"] == "*"
            assert "POST" in response.headers["allow"]
            response = await door.client.options(path)
            assert response.status_code == 204
            assert "webhook-allowed-origin" not in response.headers

    run(work)


def test_a_signed_body_is_let_in_and_a_ping_is_ignored() -> None:
    body = json.dumps(PING).encode()
    form = urlencode({"payload": json.dumps(PING, indent=2)}).encode()

    async def work(door: Door) -> None:
        for sent, kind in ((body, "application/json"), (form, "application/x-www-form-urlencoded")):
            response = await door.post(sent, signed(sent) | {"content-type": kind})
            assert response.status_code == 202
            assert [one.kind for one in door.said().ignored] == ["github_ping"]

    run(work, secrets=SECRETS)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-GitHub-Event": "deployment"},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        {"X-Hub-Signature-256": "sha256=\u00fc"},
        signed(b"another body"),
        signed(b"{}", "another secret"),
        {"X-Gitlab-Event": "Deployment Hook"},
        {"X-Gitlab-Token": ""},
        {"X-Gitlab-Token": "Tanuki"},
    ],
)
def test_a_body_that_is_not_signed_rightly_is_kept_out(headers: dict[str, str]) -> None:
    async def work(door: Door) -> None:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        response = await door.client.post("/v1/markers", content=b"{}", headers=raw)
        assert response.status_code == 401
        assert response.json()["error"] == "signature_invalid"
        assert "one secret at both" in response.json()["detail"]
        assert "Secret to Everybody" not in response.text
        assert response.headers["www-authenticate"]
        assert door.intake.refused == {"signature_invalid": 1}
        assert door.intake.refused_at == {("/v1/markers", "signature_invalid"): 1}
        assert len(door.room) == 0

    run(work, secrets=SECRETS)


def test_a_token_of_gitlab_is_compared() -> None:
    async def work(door: Door) -> None:
        headers = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": "tanuki"}
        response = await door.post(b'{"object_kind":"push"}', headers)
        assert response.status_code == 202
        assert [one.kind for one in door.said().ignored] == ["gitlab_push"]

    run(work, secrets=SECRETS)


def test_without_a_secret_no_signature_is_asked_for() -> None:
    async def work(door: Door) -> None:
        for headers in (signed(b"x"), {"X-GitHub-Event": "push"}, {"X-Gitlab-Token": "x"}):
            assert (await door.post(b"{}", headers)).status_code == 202

    run(work)


def test_a_forged_webhook_without_any_header_is_kept_out() -> None:
    whole = json.dumps(github()).encode()

    async def work(door: Door) -> None:
        for said, tool in (
            (github(), "github"),
            (github("success"), "github"),
            (gitlab("running"), "gitlab"),
            ([event(), github()], "github"),
            (envelope(data=github()), "github"),
            (envelope(data=json.dumps(github())), "github"),
            (envelope(data=..., data_base64=b64encode(whole).decode()), "github"),
            (whole.replace(b"repository", rb"repositor\u0079"), "github"),
        ):
            body = said if isinstance(said, bytes) else json.dumps(said, indent=2).encode()
            for path in ("/v1/events", "/v1/markers"):
                response = await door.post(body, path=path)
                assert response.status_code == 401
                assert f"a deployment of {tool}" in response.json()["detail"]
        body = json.dumps(github()).encode()
        assert (await door.post(body, signed(body))).status_code == 202
        assert len(door.said().markers) == 1
        mixed = json.dumps([github(), gitlab("running")]).encode()
        assert (await door.post(mixed, signed(mixed))).status_code == 401
        ours = json.dumps([event(), marker(), PING, {"object_kind": "push"}]).encode()
        assert (await door.post(ours)).status_code == 202

    run(work, secrets=SECRETS)


def test_secrets_do_not_show() -> None:
    assert "tanuki" not in repr(SECRETS)


def test_what_nobody_knows_is_ignored_among_markers_and_refused_among_events() -> None:
    unknown = [{"event": "invalid"}, {}, {"id": "1", "time": "x"}]
    ours = [event(), marker(), marker(type=...), {"service": "a"}, {"deployment": "d"}]

    async def work(door: Door) -> None:
        body = json.dumps([*unknown, *ours]).encode()
        await door.post(body)
        batch = door.said()
        assert [(one.index, one.kind) for one in batch.ignored] == [
            (n, "unknown") for n in range(3)
        ]
        assert [reject.index for reject in batch.rejects] == [5, 6, 7]
        assert (len(batch.facts), len(batch.markers)) == (1, 1)
        await door.post(body, path="/v1/events")
        assert door.said().ignored == ()
        assert len(door.said().rejects) == 6

    run(work)


def test_a_webhook_longer_than_a_line_is_kept_as_what_it_comes_to() -> None:
    push = {"object_kind": "push", "commits": ["x" * LIMITS.line_bytes]}
    deployment = {
        "object_kind": "deployment",
        "status": "running",
        "status_changed_at": "2026-05-21 12:00:00 UTC",
        "deployment_id": 1,
        "short_sha": "abc",
        "environment": "production",
        "project": {"path_with_namespace": "a/b"},
        "commit_title": "x" * LIMITS.line_bytes,
    }

    async def work(door: Door) -> None:
        await door.post(json.dumps([push, deployment, event(x="x" * LIMITS.line_bytes)]).encode())
        assert max(map(len, door.payloads)) == LIMITS.line_bytes + 1
        batch = door.said()
        assert [one.kind for one in batch.ignored] == ["gitlab_push"]
        assert [one.service for one in batch.markers] == ["b"]
        assert [reject.reason for reject in batch.rejects] == ["too_long"]

    run(work)


def test_a_form_without_a_payload_is_read_as_it_is() -> None:
    async def work(door: Door) -> None:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        for body in (b"payload=", b"payload", b"payload=%", b"payload=" + b"&a=1" * 99):
            assert (await door.post(body, kind)).status_code == 202
        await door.post(json.dumps(event()).encode(), kind)  # as curl -d sends it
        assert len(door.said().facts) == 1

    run(work)

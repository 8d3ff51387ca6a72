"""What a webhook and Alertmanager are sent, and what becomes of each of their answers."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from analyzers.facts import NS_PER_S
from analyzers.judging.verdict import Alert
from collector.keeping.checkpoint import QueuedNotice
from dashboards.channels.alertmanager import Alertmanager, again_s, posted
from dashboards.channels.posting import retry_after_s
from dashboards.channels.webhook import Webhook
from dashboards.outbox import Channel, Later, Outcome, Refused, Sent, key_of, payload_of

NOW_NS = 1_779_357_600 * NS_PER_S  # 2026-05-21T10:00:00Z
ALERT = Alert(
    deployment="d-42",
    status="firing",
    at="2011-10-03T09:10:00Z",
    summary="order-api 1.42.0 is degraded",
    description="one of eight orders is rejected in W1 – 37 orders so far",
    labels={
        "service": "order-api",
        "version": "1.42.0",
        "environment": "production",
        "severity": "warning",
        "score": "0.3",
    },
    annotations={"runbook": "https://runbooks.example/orders", "owner": "team-orders"},
)


@dataclass
class Receiver:
    """A real HTTP server that answers as it is told, and writes down what it was sent."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    hangs: threading.Event | None = None
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    told = Receiver()

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            headers = {name.lower(): value for name, value in self.headers.items()}
            told.requests.append((self.path, headers, self.rfile.read(length)))
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if told.hangs is not None:
                told.hangs.wait()
            try:
                self.wfile.write(told.body)
            except (BrokenPipeError, ConnectionResetError):
                told.headers["cut"] = "the client read no further"

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        told.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        if told.hangs is not None:
            told.hangs.set()
        server.shutdown()
        thread.join()


def send(make: Callable[[httpx.AsyncClient], Channel], alert: Alert | bytes = ALERT) -> Outcome:
    payload = alert if isinstance(alert, bytes) else payload_of(alert)
    notice = QueuedNotice(
        1, key_of(ALERT), "hook", "d-42", payload, "waiting", 0, None, 0, 0, ""
    )  # fmt: skip

    async def sending() -> Outcome:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await make(client).deliver(notice, NOW_NS)

    return asyncio.run(sending())


def hook(receiver: Receiver, alert: Alert | bytes = ALERT, timeout_s: float = 10.0) -> Outcome:
    return send(
        lambda client: Webhook(f"{receiver.url}/secret", client, timeout_s=timeout_s), alert
    )


def test_a_webhook_gets_the_alert_its_version_and_its_key(receiver: Receiver) -> None:
    receiver.status = 204
    token = {"Authorization": "Bearer t"}
    outcome = send(lambda client: Webhook(f"{receiver.url}/hook", client, headers=token))
    assert outcome == Sent()
    ((path, headers, body),) = receiver.requests
    assert path == "/hook"
    assert headers["idempotency-key"] == key_of(ALERT)
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer t"
    assert headers["user-agent"] == "plimsoll"
    assert msgspec.json.decode(body) == {
        "version": 1,
        **{name: getattr(ALERT, name) for name in ALERT.__struct_fields__},
    }


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_a_client_error_is_refused_with_what_the_receiver_said(
    receiver: Receiver, status: int
) -> None:
    receiver.status, receiver.body = status, b"no\nsuch\x00 hook"
    outcome = hook(receiver)
    assert outcome == Refused(f"{receiver.url} answered {status}: no such? hook")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_answer_that_may_change_is_tried_later(receiver: Receiver, status: int) -> None:
    receiver.status, receiver.body = status, b""
    assert hook(receiver) == Later(f"{receiver.url} answered {status}")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("Thu, 21 May 2026 10:01:30 GMT", 90.0),
        ("Thu, 21 May 2026 09:00:00 GMT", 0.0),
        ("999999999999", 3600.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("", 0.0),
    ],
)
def test_retry_after_is_honoured_within_an_hour(
    receiver: Receiver, header: str, seconds: float
) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": header}
    outcome = hook(receiver)
    assert isinstance(outcome, Later)
    assert outcome.after_s == seconds


@given(st.text(max_size=60), st.integers(0, 2**62))
def test_no_retry_after_header_breaks_the_delivery(text: str, now_ns: int) -> None:
    assert 0.0 <= retry_after_s(text, now_ns) <= 3600.0


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.status, receiver.headers = 307, {"Location": f"{receiver.url}/elsewhere"}
    outcome = hook(receiver)
    assert isinstance(outcome, Refused)
    assert "redirects are not followed: configure the final address" in outcome.error
    assert len(receiver.requests) == 1


def test_of_an_endless_answer_only_the_beginning_is_read(receiver: Receiver) -> None:
    receiver.status, receiver.body = 400, b"x" * 50_000_000
    outcome = hook(receiver)
    assert isinstance(outcome, Refused)
    assert len(outcome.error) < 600


def test_a_receiver_that_hangs_is_left_after_its_time(receiver: Receiver) -> None:
    receiver.hangs = threading.Event()
    outcome = hook(receiver, timeout_s=0.2)
    assert outcome == Later(f"{receiver.url} did not answer within 0.2 s")


def test_a_receiver_that_is_not_there_is_tried_later_and_no_secret_is_told() -> None:
    with socket.socket() as reserved:  # bound and not listening: nobody else gets the port
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        outcome = send(lambda client: Webhook(f"http://u:pw@127.0.0.1:{port}/secret", client))
    assert isinstance(outcome, Later)
    assert outcome.error.startswith(f"http://127.0.0.1:{port} cannot be reached: ConnectError")
    assert "secret" not in outcome.error
    assert "pw" not in outcome.error


@pytest.mark.parametrize("url", ["", "hook.example/x", "ftp://hook.example/x", "http:///x"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    for channel in (Webhook, Alertmanager):
        with pytest.raises(ValueError, match="write https://host/path"):
            channel(url, httpx.AsyncClient(trust_env=False))


def test_an_unreadable_address_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="webhook URL cannot be read"):
        Webhook("http://[::1/x", httpx.AsyncClient(trust_env=False))


@pytest.mark.parametrize("channel", [Webhook, Alertmanager])
def test_a_payload_that_is_no_alert_is_given_up(
    receiver: Receiver, channel: type[Webhook | Alertmanager]
) -> None:
    outcome = send(lambda client: channel(receiver.url, client), alert=b"{}")
    assert isinstance(outcome, Refused)
    assert receiver.requests == []


def test_alertmanager_labels_are_identity_and_nothing_that_changes() -> None:
    assert posted(ALERT, NOW_NS).labels == {
        "alertname": "PlimsollReleaseDegraded",
        "service": "order-api",
        "release": "1.42.0",
        "deployment": "d-42",
        "environment": "production",
        "severity": "warning",
    }
    resolved = structs.replace(ALERT, status="resolved", summary="over", at="2011-10-04T00:00:00Z")
    assert posted(resolved, NOW_NS + 1).labels == posted(ALERT, NOW_NS).labels
    bare = structs.replace(ALERT, labels={})
    assert posted(bare, NOW_NS).labels == {
        "alertname": "PlimsollReleaseDegraded", "deployment": "d-42", "severity": "critical"
    }  # fmt: skip


def test_alertmanager_annotations_carry_the_rest_and_the_event_time() -> None:
    strange = structs.replace(ALERT, annotations={**ALERT.annotations, "on-call": "x", "9a": "y"})
    assert posted(strange, NOW_NS).annotations == {
        "summary": ALERT.summary,
        "description": ALERT.description,
        "runbook_url": "https://runbooks.example/orders",
        "deployment_id": "d-42",
        "event_time": "2011-10-03T09:10:00Z",
        "owner": "team-orders",
        "on_call": "x",
        "_9a": "y",
    }
    without = structs.replace(ALERT, annotations={"runbook_url": "", "": "nameless"})
    assert "runbook_url" not in posted(without, NOW_NS).annotations


def test_a_firing_alert_ends_in_the_future_and_a_resolved_one_now() -> None:
    firing = posted(ALERT, NOW_NS, since_ns=NOW_NS - 60 * NS_PER_S, resolve_timeout_s=300.0)
    assert (firing.startsAt, firing.endsAt) == (
        "2026-05-21T09:59:00.000Z",
        "2026-05-21T10:05:00.000Z",
    )
    resolved = posted(structs.replace(ALERT, status="resolved"), NOW_NS, since_ns=NOW_NS - 1)
    assert resolved.endsAt == "2026-05-21T10:00:00.000Z"
    assert b"startsAt" not in msgspec.json.encode(resolved)


def test_only_firing_alerts_are_posted_again_and_in_half_their_time() -> None:
    assert again_s(ALERT, 300.0) == 150.0
    assert again_s(structs.replace(ALERT, status="resolved"), 300.0) is None


@pytest.mark.parametrize("prefix", ["", "/", "/alerts", "/alerts/"])
def test_alertmanager_is_posted_to_under_its_prefix(receiver: Receiver, prefix: str) -> None:
    outcome = send(lambda client: Alertmanager(f"{receiver.url}{prefix}", client))
    assert outcome == Sent(again_s=150.0)
    ((path, _, body),) = receiver.requests
    assert path == prefix.rstrip("/") + "/api/v2/alerts"
    assert [sorted(alert) for alert in msgspec.json.decode(body)] == [
        ["annotations", "endsAt", "labels", "startsAt"]
    ]


def test_alertmanager_out_of_order_is_tried_later(receiver: Receiver) -> None:
    receiver.status = 503
    outcome = send(lambda client: Alertmanager(receiver.url, client))
    assert isinstance(outcome, Later)

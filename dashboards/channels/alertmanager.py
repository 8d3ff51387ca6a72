"""Alerts to Alertmanager, through ``POST /api/v2/alerts``.

Alertmanager knows an alert by its labels, and believes it for as long as ``endsAt`` lies in the
future. So labels carry identity and nothing that changes; ``startsAt`` and ``endsAt`` are clock
times of the delivery, while the event time, which in a replay may be years ago, is an annotation;
and a firing alert is posted again every half of ``resolve_timeout``, until its deployment has a
newer notice. If this process ends for good, its alerts resolve by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import httpx
import msgspec

from analyzers.facts import NS_PER_S
from analyzers.judging.verdict import Alert
from analyzers.times import rfc3339
from dashboards.channels.posting import TIMEOUT_S, post, receiver
from dashboards.outbox import Notice, Outcome, Refused, Sent, alert_in

ALERT_NAME: Final = "PlimsollReleaseDegraded"
# Alertmanager's own default for alerts that name no end.
RESOLVE_TIMEOUT_S: Final = 300.0
DEFAULT_SEVERITY: Final = "critical"
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_]|^(?=[0-9])")


class PostedAlert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An alert in the words of Alertmanager's API, version 2. Without ``startsAt`` it begins where
    the one with the same labels began, or where it ends."""

    labels: dict[str, str]
    annotations: dict[str, str]
    endsAt: str  # noqa: N815  # the API's word
    startsAt: str = ""  # noqa: N815


def again_s(alert: Alert, resolve_timeout_s: float = RESOLVE_TIMEOUT_S) -> float | None:
    """After how many seconds a delivered alert must be posted again; None if never.

    A firing one after half of the time for which it is believed, so that one lost post does not
    resolve it; a resolved one never.
    """
    return resolve_timeout_s / 2 if alert.status == "firing" else None


def posted(
    alert: Alert,
    now_ns: int,
    *,
    since_ns: int | None = None,
    resolve_timeout_s: float = RESOLVE_TIMEOUT_S,
) -> PostedAlert:
    """The alert as posted at the clock time ``now_ns``, first delivered at ``since_ns``."""
    firing = alert.status == "firing"
    end_ns = now_ns + round(resolve_timeout_s * NS_PER_S) if firing else now_ns
    return PostedAlert(
        labels=_identity(alert),
        annotations=_annotations(alert),
        startsAt=rfc3339(now_ns if since_ns is None else since_ns) if firing else "",
        endsAt=rfc3339(end_ns),
    )


def _identity(alert: Alert) -> dict[str, str]:
    """What makes it this alert and no other; the same when it fires and when it resolves."""
    said = alert.labels
    labels = {
        "alertname": ALERT_NAME,
        "service": said.get("service", ""),
        "release": said.get("release") or said.get("version", ""),
        "deployment": alert.deployment,
        "environment": said.get("environment", ""),
        "severity": said.get("severity") or DEFAULT_SEVERITY,
    }
    return {name: value for name, value in labels.items() if value}


def _annotations(alert: Alert) -> dict[str, str]:
    """Everything else that a responder needs, under names that Alertmanager takes."""
    notes = {_NOT_IN_A_NAME.sub("_", name): value for name, value in alert.annotations.items()}
    runbook = notes.get("runbook_url") or notes.pop("runbook", "")
    notes |= {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": runbook,
        "deployment_id": alert.deployment,
        "event_time": alert.at,
    }
    return {name: value for name, value in notes.items() if name and value}


class Alertmanager:
    """Posts alerts to one Alertmanager and keeps the firing ones alive."""

    def __init__(
        self,
        url: str,
        client: httpx.AsyncClient,
        *,
        headers: Mapping[str, str] | None = None,
        resolve_timeout_s: float = RESOLVE_TIMEOUT_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """``url`` is where its page is, with its path prefix; ``ValueError`` if it is no URL."""
        address = receiver(url, "Alertmanager")
        self._url = address.copy_with(path=address.path.rstrip("/") + "/api/v2/alerts")
        self._client = client
        self._headers = dict(headers or {})
        self._resolve_timeout_s = resolve_timeout_s
        self._timeout_s = timeout_s

    async def deliver(self, notice: Notice, now_ns: int, /) -> Outcome:
        """What became of one try; a firing alert that was sent says when it must be again."""
        alert = alert_in(notice.payload)
        if isinstance(alert, Refused):
            return alert
        body = posted(
            alert, now_ns, since_ns=notice.sent_ns, resolve_timeout_s=self._resolve_timeout_s
        )
        outcome = await post(
            self._client,
            self._url,
            msgspec.json.encode([body]),
            headers={**self._headers, "Idempotency-Key": notice.key},
            timeout_s=self._timeout_s,
            now_ns=now_ns,
        )
        return Sent(again_s(alert, self._resolve_timeout_s)) if outcome == Sent() else outcome

"""Alerts to any receiver of JSON: the alert as the public interface has it, and a version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import httpx
import msgspec

from dashboards.channels.posting import TIMEOUT_S, post, receiver
from dashboards.outbox import Notice, Outcome, Refused, alert_in

VERSION: Final = 1


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The body of the request: the fields of ``analyzers.judging.verdict.Alert`` and a version,
    which changes when a field goes or changes its meaning, and not when one is added."""

    version: int
    deployment: str
    status: Literal["firing", "resolved"]
    at: str
    summary: str
    description: str
    labels: dict[str, str]
    annotations: dict[str, str]


class Webhook:
    """Posts each alert to one address, with its idempotency key in a header of that name."""

    def __init__(
        self,
        url: str,
        client: httpx.AsyncClient,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """``headers`` go with every request, for a token say; ``ValueError`` for a bad URL."""
        self._url = receiver(url, "webhook")
        self._client = client
        self._headers = dict(headers or {})
        self._timeout_s = timeout_s

    async def deliver(self, notice: Notice, now_ns: int, /) -> Outcome:
        """What became of one try."""
        alert = alert_in(notice.payload)
        if isinstance(alert, Refused):
            return alert
        message = Message(version=VERSION, **msgspec.structs.asdict(alert))
        return await post(
            self._client,
            self._url,
            msgspec.json.encode(message),
            headers={**self._headers, "Idempotency-Key": notice.key},
            timeout_s=self._timeout_s,
            now_ns=now_ns,
        )

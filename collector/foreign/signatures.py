"""Whether a webhook comes from whom it says: GitHub signs its bodies, GitLab shows a token.

Source: GitHub, "Validating webhook deliveries"; GitLab, "Webhooks: secret token".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_PREFIX: Final = "sha256="


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    """The secrets that were entered at GitHub and GitLab; empty: nothing is asked for."""

    github: str = field(default="", repr=False)
    gitlab: str = field(default="", repr=False)


def fault(secrets: WebhookSecrets, headers: Mapping[str, str], body: bytes) -> str | None:
    """What keeps a request from being believed, None if nothing does.

    ``headers`` have names in lower case; ``body`` is as it was signed. Whoever sends the headers of
    neither tool is not asked here.
    """
    signature = headers.get("x-hub-signature-256")
    if secrets.github and (signature is not None or "x-github-event" in headers):
        if signature is None:
            return "X-Hub-Signature-256 is missing, and webhooks.github.secret is set"
        if not hmac.compare_digest(_of(secrets.github, body), _raw(signature)):
            return "X-Hub-Signature-256 is not that of this body with webhooks.github.secret"
    token = headers.get("x-gitlab-token")
    if secrets.gitlab and (token is not None or "x-gitlab-event" in headers):
        if token is None:
            return "X-Gitlab-Token is missing, and webhooks.gitlab.token is set"
        if not hmac.compare_digest(secrets.gitlab.encode(), _raw(token)):
            return "X-Gitlab-Token is not webhooks.gitlab.token"
    return None


def _of(secret: str, body: bytes) -> bytes:
    return (_PREFIX + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()).encode()


def _raw(header: str) -> bytes:
    return header.encode(errors="surrogateescape")

"""Whether a webhook comes from whom it says: GitHub signs its bodies, GitLab shows a token.

Source: GitHub, "Validating webhook deliveries"; GitLab, "Webhooks: secret token".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from collector.decoding.said import Loose, read_again
from collector.foreign import understood

_PREFIX: Final = "sha256="
_SIGNATURE: Final = "x-hub-signature-256"
_TOKEN: Final = "x-gitlab-token"  # noqa: S105 - the header's name
# What stands in every marker of the tool, so that other payloads need not be read for it.
_HINTS: Final = {"github": (b"repository", b"deployment"), "gitlab": (b"object_kind",)}
_HIDING: Final = (b"\\u", b"data_base64")  # ways to write a word in which it does not show


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
    signature = headers.get(_SIGNATURE)
    if secrets.github and (signature is not None or "x-github-event" in headers):
        if signature is None:
            return "X-Hub-Signature-256 is missing, and webhooks.github.secret is set"
        if not hmac.compare_digest(_of(secrets.github, body), _raw(signature)):
            return "X-Hub-Signature-256 is not that of this body with webhooks.github.secret"
    token = headers.get(_TOKEN)
    if secrets.gitlab and (token is not None or "x-gitlab-event" in headers):
        if token is None:
            return "X-Gitlab-Token is missing, and webhooks.gitlab.token is set"
        if not hmac.compare_digest(secrets.gitlab.encode(), _raw(token)):
            return "X-Gitlab-Token is not webhooks.gitlab.token"
    return None


def unproved(secrets: WebhookSecrets, headers: Mapping[str, str]) -> frozenset[str]:
    """The tools that have a secret and of which a request shows nothing."""
    shown = {"github": headers.get(_SIGNATURE), "gitlab": headers.get(_TOKEN)}
    kept = {"github": secrets.github, "gitlab": secrets.gitlab}
    return frozenset(tool for tool, secret in kept.items() if secret and shown[tool] is None)


def forged(payloads: Iterable[bytes], tools: frozenset[str]) -> str | None:
    """Whose marker stands among some payloads although nothing shows that it sent it; else None.

    Whoever forges a webhook leaves the headers out, so the bodies are asked as well.
    """
    for payload in payloads if tools else ():
        for tool in tools:
            if _may_hold(payload, tool) and _is_of(payload, tool):
                return tool
    return None


def _may_hold(payload: bytes, tool: str) -> bool:
    whole = all(hint in payload for hint in _HINTS[tool])
    return whole or any(word in payload for word in _HIDING)


def _is_of(payload: bytes, tool: str) -> bool:
    loose = read_again(payload)
    found = understood(loose) if isinstance(loose, Loose) else None
    return isinstance(found, Loose) and found.text("id").startswith(f"{tool}/")


def _of(secret: str, body: bytes) -> bytes:
    return (_PREFIX + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()).encode()


def _raw(header: str) -> bytes:
    return header.encode(errors="surrogateescape")

"""One HTTP POST to a receiver that may be slow, wrong or hostile, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx

from analyzers.facts import NS_PER_S
from dashboards.outbox import Later, Outcome, Refused, Sent

TIMEOUT_S: Final = 10.0
# Enough to read why a receiver said no; the rest of its answer is never read.
ANSWER_BYTES_MAX: Final = 512
# A receiver may ask for patience, but an alert that is an hour late is no alert.
RETRY_AFTER_S_MAX: Final = 3600.0
_MAY_WORK_LATER: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


def receiver(url: str, what: str) -> httpx.URL:
    """The address of a receiver; ``ValueError`` names ``what`` if it is none."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{what} URL cannot be read ({error}): write https://host/path") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(
            f"{what} URL {parsed!r} has no http or https host: write https://host/path"
        )
    return parsed


async def post(
    client: httpx.AsyncClient,
    url: httpx.URL,
    body: bytes,
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    now_ns: int,
) -> Outcome:
    """What became of posting the JSON ``body``: 2xx is sent; 408, 429, 5xx, timeouts and broken
    connections may work later; anything else, a redirect too, is refused.

    ``timeout_s`` is for the whole exchange. Errors name scheme and host only: paths and user names
    of such addresses are often secrets.
    """
    where = f"{url.scheme}://{url.netloc.decode('ascii')}"
    request = client.build_request(
        "POST",
        url,
        content=body,
        headers={
            "User-Agent": "plimsoll",
            **headers,
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
        },
        # The limit on the whole below is the only one: httpx counts each read by itself.
        timeout=None,
    )
    try:
        async with asyncio.timeout(timeout_s):
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                answer = await _beginning(response)
            finally:
                await response.aclose()
    except TimeoutError:
        return Later(f"{where} did not answer within {timeout_s:g} s")
    except httpx.TransportError as error:
        return Later(f"{where} cannot be reached: {type(error).__name__} {error}".rstrip())
    said = f"{where} answered {response.status_code}: {answer}".removesuffix(": ")
    if response.is_success:
        return Sent()
    if response.is_redirect:
        return Refused(f"{said} (redirects are not followed: configure the final address)")
    if response.status_code in _MAY_WORK_LATER or response.is_server_error:
        return Later(said, retry_after_s(response.headers.get("Retry-After", ""), now_ns))
    return Refused(said)


async def _beginning(response: httpx.Response) -> str:
    """The first bytes of an answer as one printable line."""
    read = b""
    async for chunk in response.aiter_raw():
        read += chunk[: ANSWER_BYTES_MAX - len(read)]
        if len(read) >= ANSWER_BYTES_MAX:
            break
    words = read.decode("utf-8", "replace").split()
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(words))


def retry_after_s(text: str, now_ns: int) -> float:
    """The seconds that a Retry-After header asks for: a number or an HTTP date; 0 if it is absent
    or neither, never more than ``RETRY_AFTER_S_MAX``.

    >>> retry_after_s("120", 0)
    120.0
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_S_MAX)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait_s = (moment - datetime.fromtimestamp(now_ns / NS_PER_S, UTC)).total_seconds()
    return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)

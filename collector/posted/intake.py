"""The HTTP door for events and markers: ``POST /v1/events`` and ``POST /v1/markers``.

Reads a body within its limits, cuts it into payloads and lets them wait for their turn; the
answer 202 means that the turn is committed. What a payload says is not judged here; but what came
in headers or in a form becomes a line, and a signature is asked for where a secret is known.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from analyzers.policy import Limits
from collector.foreign.cloudevents import binary_cloudevent
from collector.foreign.posted import form_payload, line
from collector.foreign.signatures import WebhookSecrets, fault, forged, unproved
from collector.posted.bodies import (
    BodyBrokenError,
    BodyError,
    BodyTooLargeError,
    BodyTooManyError,
    Shape,
    Unpacker,
    discard,
    split,
)
from collector.posted.waiting import (
    RETRY_AFTER_S,
    Answer,
    BusyError,
    ClosedError,
    Reading,
    WaitingRoom,
)

_FORM: Final = "application/x-www-form-urlencoded"
_LINES: Final = frozenset(
    f"application/{name}" for name in ("x-ndjson", "ndjson", "jsonl", "x-jsonlines", "jsonlines")
)
# A content type is often wrong (curl sends a form's for any data): these are found out by looking.
_UNKNOWN: Final = frozenset(
    (
        "",
        "application/json",
        "application/octet-stream",
        _FORM,
        "text/json",
        "text/plain",
    )
)
_CHARSETS: Final = frozenset(("", "utf-8", "utf8", "us-ascii", "ascii"))
_LOOPBACK: Final = frozenset(("localhost", "127.0.0.1", "::1"))
# Splitting this much takes about a millisecond; more of it goes to a thread, so that a large body
# does not hold up the verdicts that others are waiting for.
_INLINE_BYTES: Final = 256 << 10
# A refused body is read on to its end, so that the client hears the reason instead of a broken
# connection; beyond four bodies' worth it is cut off all the same.
_DISCARD_FACTOR: Final = 4
_CE: Final = "ce-"
_CE_ENVELOPES: Final = "application/cloudevents"  # structured and batch, in whatever format
_EVENTS: Final = "/v1/events"
_MARKERS: Final = "/v1/markers"
_UNSIGNED: Final = "signature_invalid"
_REMEDY: Final = "enter one secret at both"


class Problem(msgspec.Struct, frozen=True):
    """An error as HTTP clients see it: a word for machines and a sentence for people."""

    error: str
    detail: str


class RefusalError(Exception):
    """A request that is answered with an error, and counted by its word."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.problem = Problem(error, detail)


class Intake:
    """The routes, and how many requests were turned away: ``refused`` by error word,
    ``refused_at`` by door and error word."""

    def __init__(
        self,
        room: WaitingRoom,
        *,
        limits: Limits,
        now_s: Callable[[], float],
        webhooks: WebhookSecrets | None = None,
    ) -> None:
        self._room = room
        self._limits = limits
        self._now_s = now_s
        self._webhooks = webhooks or WebhookSecrets()
        self.refused: Counter[str] = Counter()
        self.refused_at: Counter[tuple[str, str]] = Counter()

    def routes(self) -> list[Route]:
        """Events and markers are told apart by their type, so both doors take both."""
        return [
            route
            for door, name in ((_EVENTS, "events"), (_MARKERS, "markers"))
            for route in (
                Route(door, partial(self._take, door), methods=["POST"], name=name),
                Route(door, _greet, methods=["OPTIONS"], name=f"{name}-handshake"),
            )
        ]

    async def _take(self, door: str, request: Request) -> Response:
        try:
            answer = await self._answer(door, request)
        except (RefusalError, BusyError, ClosedError, ClientDisconnect) as error:
            return self._refuse(door, _refusal(error))
        return _json(202, answer)

    def _refuse(self, door: str, refusal: RefusalError) -> Response:
        self.refused[refusal.problem.error] += 1
        self.refused_at[door, refusal.problem.error] += 1
        response = _json(refusal.status, refusal.problem)
        if refusal.status in (429, 503):
            response.headers["retry-after"] = str(RETRY_AFTER_S)
        if refusal.status == 401:
            response.headers["www-authenticate"] = "Webhook-Signature"
        return response

    async def _answer(self, door: str, request: Request) -> Answer:
        check_origin(request)
        # In binary mode the content type is that of the data, whatever they are.
        binary = bool(_cloudevent_attributes(request.headers))
        shape = Shape.UNKNOWN if binary else _shape(request.headers.get("content-type", ""))
        gzip = _gzipped(request.headers.get("content-encoding", ""))
        with self._room.reading() as reading:  # until it waits, a body takes up room of its own
            body = await self._read(request, reading, gzip=gzip)
            cut = partial(self._cut, body, request.headers, shape, door)
            payloads = cut() if len(body) <= _INLINE_BYTES else await asyncio.to_thread(cut)
        return await self._room.submit(payloads, now_s=self._now_s())

    async def _read(self, request: Request, reading: Reading, *, gzip: bool) -> bytes:
        unpacker = Unpacker(limit=self._limits.body_bytes, gzip=gzip)
        chunks = request.stream()
        try:
            unpacker.expect(_length(request))
            async for chunk in chunks:
                unpacker.feed(chunk)
                reading.resize(unpacker.size)
            return unpacker.finish()
        except (BodyError, BusyError) as error:
            if request.headers.get("expect", "").lower() != "100-continue" or unpacker.size:
                await discard(chunks, limit=_DISCARD_FACTOR * self._limits.body_bytes)
            if isinstance(error, BodyTooLargeError):
                raise RefusalError(413, "body_too_large", str(error)) from error
            if isinstance(error, BodyBrokenError):
                raise RefusalError(400, "bad_gzip", str(error)) from error
            raise

    def _cut(self, body: bytes, headers: Mapping[str, str], shape: Shape, door: str) -> list[bytes]:
        """The lines of a body, if it comes from whom it says."""
        distrust = fault(self._webhooks, headers, body)
        if distrust is not None:
            raise RefusalError(401, _UNSIGNED, f"{distrust}; {_REMEDY}")
        body = _whole(body, headers)
        size, most = self._limits.line_bytes, self._limits.queued_events
        longest = len(body) if door == _MARKERS else size
        try:
            payloads = split(body, shape=shape, line_bytes=longest, most=most)
        except BodyTooManyError as error:
            raise RefusalError(413, "too_many_events", str(error)) from error
        tool = forged(payloads, unproved(self._webhooks, headers))
        if tool is not None:
            what = f"a deployment of {tool} came without its proof, and webhooks.{tool} is set"
            raise RefusalError(401, _UNSIGNED, f"{what}; {_REMEDY}")
        if door != _MARKERS:
            return payloads
        lines = (line(payload, line_bytes=size) for payload in payloads)
        return [one if len(one) <= size else one[: size + 1] for one in lines]


def _refusal(error: RefusalError | BusyError | ClosedError | ClientDisconnect) -> RefusalError:
    match error:
        case BusyError():
            return RefusalError(429, "busy", f"{error}; send it again in a second")
        case ClosedError():
            return RefusalError(503, "unavailable", str(error))
        case ClientDisconnect():
            return RefusalError(400, "disconnected", "the client left before the end")
    return error


async def _greet(request: Request) -> Response:
    """The handshake of CloudEvents' webhooks: whoever asks may deliver, at any rate."""
    headers = {"allow": "POST, OPTIONS"}
    origin = request.headers.get("webhook-request-origin")
    if origin is not None:
        headers["webhook-allowed-origin"] = origin
        headers["webhook-allowed-rate"] = "*"
    return Response(status_code=200 if origin is not None else 204, headers=headers)


def _cloudevent_attributes(headers: Mapping[str, str]) -> dict[str, str]:
    """The attributes of a CloudEvent in binary mode; none if the request is something else."""
    kind = headers.get("content-type", "").lower()
    if f"{_CE}specversion" not in headers or kind.startswith(_CE_ENVELOPES):
        return {}
    return {
        name.removeprefix(_CE): unquote(value.strip('"'))
        for name, value in headers.items()
        if name.startswith(_CE)
    }


def _whole(body: bytes, headers: Mapping[str, str]) -> bytes:
    """The body with what stands in headers or is hidden in a form."""
    content_type = headers.get("content-type", "")
    if attributes := _cloudevent_attributes(headers):
        return binary_cloudevent(attributes, content_type, body)
    form = content_type.lower().startswith(_FORM)
    return (form_payload(body) if form else None) or body


def _json(status: int, value: Answer | Problem) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _shape(content_type: str) -> Shape:
    kind, _, parameters = content_type.lower().partition(";")
    kind = kind.strip()
    charset = ""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            charset = value.strip().strip('"')
    if charset not in _CHARSETS:
        raise RefusalError(
            415, "unsupported_charset", f"charset {charset[:40]!r} is not read; send UTF-8"
        )
    if kind in _LINES:
        return Shape.LINES
    if kind in _UNKNOWN or kind.endswith("+json"):
        return Shape.UNKNOWN
    raise RefusalError(
        415,
        "unsupported_content_type",
        f"content type {kind[:80]!r} is not read; send application/x-ndjson or application/json",
    )


def _gzipped(content_encoding: str) -> bool:
    match content_encoding.strip().lower():
        case "gzip" | "x-gzip":
            return True
        case "" | "identity":
            return False
        case other:
            raise RefusalError(
                415,
                "unsupported_encoding",
                f"content encoding {other[:40]!r} is not read; send gzip or none",
            )


def _length(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


def check_origin(request: Request) -> None:
    """Refuses what a web page in somebody's browser sends: no page of ours writes, and a daemon
    without authentication must not take markers from whatever site is open next to it."""
    origin = request.headers.get("origin")
    if origin is None:
        return
    try:
        source = urlsplit(origin)
    except ValueError:
        source = urlsplit("")
    if source.hostname in _LOOPBACK and source.netloc == request.headers.get("host"):
        return
    raise RefusalError(
        403, "cross_origin", f"a page of {origin[:80]!r} may not write here; post without a browser"
    )

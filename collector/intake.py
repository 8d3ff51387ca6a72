"""The HTTP door for events and markers: ``POST /v1/events`` and ``POST /v1/markers``.

Reads a body within its limits, cuts it into payloads and lets them wait for their turn; the
answer 202 means that the turn is committed. What a payload says is not looked at here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from analyzers.policy import Limits
from collector.bodies import (
    BodyBrokenError,
    BodyError,
    BodyTooLargeError,
    BodyTooManyError,
    Shape,
    Unpacker,
    discard,
    split,
)
from collector.waiting import RETRY_AFTER_S, Answer, BusyError, ClosedError, WaitingRoom

_LINES: Final = frozenset(
    f"application/{name}" for name in ("x-ndjson", "ndjson", "jsonl", "x-jsonlines", "jsonlines")
)
# A content type is often wrong (curl sends a form's for any data): these are found out by looking.
_UNKNOWN: Final = frozenset(
    (
        "",
        "application/json",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
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
    """The two routes, and ``refused``: how many requests were turned away, by error word."""

    def __init__(self, room: WaitingRoom, *, limits: Limits, now_s: Callable[[], float]) -> None:
        self._room = room
        self._limits = limits
        self._now_s = now_s
        self.refused: Counter[str] = Counter()

    def routes(self) -> list[Route]:
        """Events and markers are told apart by their type, so both doors take both."""
        return [
            Route("/v1/events", self._take, methods=["POST"], name="events"),
            Route("/v1/markers", self._take, methods=["POST"], name="markers"),
        ]

    async def _take(self, request: Request) -> Response:
        try:
            answer = await self._answer(request)
        except RefusalError as refusal:
            return self._refuse(refusal)
        except BusyError as busy:
            return self._refuse(RefusalError(429, "busy", f"{busy}; send it again in a second"))
        except ClosedError as closed:
            return self._refuse(RefusalError(503, "unavailable", str(closed)))
        except ClientDisconnect:
            return self._refuse(RefusalError(400, "disconnected", "the client left before the end"))
        return _json(202, answer)

    def _refuse(self, refusal: RefusalError) -> Response:
        self.refused[refusal.problem.error] += 1
        response = _json(refusal.status, refusal.problem)
        if refusal.status in (429, 503):
            response.headers["retry-after"] = str(RETRY_AFTER_S)
        return response

    async def _answer(self, request: Request) -> Answer:
        _check_origin(request)
        shape = _shape(request.headers.get("content-type", ""))
        gzip = _gzipped(request.headers.get("content-encoding", ""))
        body = await self._read(request, gzip=gzip)
        payloads = await self._split(body, shape)
        return await self._room.submit(payloads, now_s=self._now_s())

    async def _read(self, request: Request, *, gzip: bool) -> bytes:
        unpacker = Unpacker(limit=self._limits.body_bytes, gzip=gzip)
        chunks = request.stream()
        try:
            unpacker.expect(_length(request))
            with self._room.reading() as reading:
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

    async def _split(self, body: bytes, shape: Shape) -> list[bytes]:
        def cut() -> list[bytes]:
            limits = self._limits
            return split(body, shape=shape, line_bytes=limits.line_bytes, most=limits.queued_events)

        try:
            return cut() if len(body) <= _INLINE_BYTES else await asyncio.to_thread(cut)
        except BodyTooManyError as error:
            raise RefusalError(413, "too_many_events", str(error)) from error


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


def _check_origin(request: Request) -> None:
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

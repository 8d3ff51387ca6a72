"""OTLP over HTTP: ``POST /v1/logs``, ``/v1/metrics`` and ``/v1/traces``, in protobuf and JSON.

An answer 200 means that the turn is committed. Refused records are told as a partial success, which
many senders do not even log, so ``Door`` counts them. Only 429 and 503 are worth another try.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from typing import Final

from google.rpc import code_pb2 as code  # type: ignore[import-untyped]
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from collector.otlp import replies
from collector.otlp.door import Door, Outcome
from collector.otlp.records import MalformedError, TooManyError
from collector.otlp.rules import Encoding, Signal
from collector.posted.bodies import (
    BodyBrokenError,
    BodyError,
    BodyTooLargeError,
    Unpacker,
    discard,
)
from collector.posted.intake import RefusalError, check_origin
from collector.posted.waiting import RETRY_AFTER_S, BusyError, ClosedError, Reading

_MEDIA_TYPES: Final = {
    Encoding.PROTO: "application/x-protobuf",
    Encoding.JSON: "application/json",
}
_PACKED: Final = frozenset(("gzip", "x-gzip", "deflate"))
# As in the door for events: read on so far, so that the client hears why it is refused.
_DISCARD_FACTOR: Final = 4
# Errors of a request, with the status and the word that it is refused with; subclasses first.
_REFUSED: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (BodyTooLargeError, 413, "body_too_large"),
    (BodyError, 400, "bad_compression"),
    (MalformedError, 400, "malformed"),
    (TooManyError, 413, "too_many_records"),
    (BusyError, 429, "busy"),
    (ClosedError, 503, "unavailable"),
    (ClientDisconnect, 400, "disconnected"),
)
_ERRORS: Final[tuple[type[Exception], ...]] = (RefusalError, *(kind for kind, _, _ in _REFUSED))
_CODES: Final = {
    403: code.PERMISSION_DENIED,
    413: code.RESOURCE_EXHAUSTED,
    429: code.RESOURCE_EXHAUSTED,
    503: code.UNAVAILABLE,
}


def routes(door: Door) -> list[Route]:
    """The three routes of OTLP/HTTP."""
    return [
        Route(f"/v1/{signal.value}", _taker(door, signal), methods=["POST"], name=signal.value)
        for signal in Signal
    ]


def _taker(door: Door, signal: Signal) -> Callable[[Request], Awaitable[Response]]:
    async def take(request: Request) -> Response:
        # Until its content type is known, an error is told in what people can read.
        encoding = _said(request) or Encoding.JSON
        try:
            check_origin(request)
            outcome = await _take(door, signal, request)
        except _ERRORS as error:
            return _refuse(door, _refusal(error), encoding)
        body = replies.accepted(signal, encoding, outcome)
        return Response(body, 200, media_type=_MEDIA_TYPES[encoding])

    return take


def _refusal(error: Exception) -> RefusalError:
    if isinstance(error, RefusalError):
        return error
    status, word = next(
        (status, word) for kind, status, word in _REFUSED if isinstance(error, kind)
    )
    return RefusalError(status, word, str(error) or "the client left before the end")


def _refuse(door: Door, refusal: RefusalError, encoding: Encoding) -> Response:
    door.refused[refusal.problem.error] += 1
    number = _CODES.get(refusal.status, code.INVALID_ARGUMENT)
    body = replies.status(number, refusal.problem.detail, encoding)
    response = Response(body, refusal.status, media_type=_MEDIA_TYPES[encoding])
    if refusal.status in (429, 503):
        response.headers["retry-after"] = str(RETRY_AFTER_S)
    return response


def _said(request: Request) -> Encoding | None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return next((encoding for encoding, name in _MEDIA_TYPES.items() if name == kind), None)


async def _take(door: Door, signal: Signal, request: Request) -> Outcome:
    encoding = _said(request)
    if encoding is None:
        said = request.headers.get("content-type", "")[:80]
        raise RefusalError(
            415,
            "unsupported_content_type",
            f"content type {said!r} is not read; send {' or '.join(_MEDIA_TYPES.values())}",
        )
    packed = request.headers.get("content-encoding", "").strip().lower()
    if packed not in _PACKED and packed not in ("", "identity"):
        raise RefusalError(
            415,
            "unsupported_encoding",
            f"content encoding {packed[:40]!r} is not read; send gzip, deflate or none",
        )
    with door.room.reading() as reading:
        body = await _body(door, request, packed, reading)
        if packed == "deflate":
            body = _inflated(body, door.body_bytes)
            reading.resize(len(body))
        return await door.take(body, signal, encoding, reading)


async def _body(door: Door, request: Request, packed: str, reading: Reading) -> bytes:
    unpacker = Unpacker(limit=door.body_bytes, gzip=packed in ("gzip", "x-gzip"))
    chunks = request.stream()
    declared = request.headers.get("content-length", "")
    try:
        unpacker.expect(int(declared) if declared.isascii() and declared.isdigit() else 0)
        async for chunk in chunks:
            unpacker.feed(chunk)
            reading.resize(unpacker.size)
        return unpacker.finish()
    except (BodyError, BusyError):
        if request.headers.get("expect", "").lower() != "100-continue" or unpacker.size:
            await discard(chunks, limit=_DISCARD_FACTOR * door.body_bytes)
        raise


def _inflated(body: bytes, limit: int) -> bytes:
    inflate = zlib.decompressobj()
    try:
        found = inflate.decompress(body, limit + 1)
    except zlib.error as error:
        raise BodyBrokenError(f"body is not valid deflate: {error}") from error
    if len(found) > limit:
        raise BodyTooLargeError(f"body is over {limit} bytes once unpacked; send smaller batches")
    if not inflate.eof:
        raise BodyBrokenError("the deflate body is cut off")
    return found

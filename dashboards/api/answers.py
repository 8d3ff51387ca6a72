"""How every answer is written: strict JSON, the same error shape everywhere, safe headers.

msgspec writes NaN and infinities as null, so no answer can be invalid JSON: some rollout tools
take a body that they cannot parse for a success.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_WORDS: Final[Mapping[int, str]] = {
    400: "bad_request",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    421: "unknown_host",
    500: "internal_error",
    503: "unavailable",
}
# Nothing here is a page: a browser that is tricked into showing an answer may run none of it.
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[[Request, Exception], Awaitable[Response]]


class Problem(msgspec.Struct, frozen=True):
    """An error: a word for machines and a sentence for people."""

    error: str
    detail: str


def json(value: object, status: int = 200) -> Response:
    """The value as a JSON response; NaN and infinities become null."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def on_http_error(request: Request, error: Exception) -> Response:
    """An unknown path, a wrong method and the like, as JSON."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    path = request.url.path[:200]
    match status:
        case 404:
            detail = f"no such path: {path}; see /openapi.json"
        case 405:
            detail = f"{path} does not answer {request.method[:20]}; see /openapi.json"
        case _:
            detail = str(getattr(error, "detail", "")) or "see the daemon's log"
    response = json(Problem(_WORDS.get(status, "error"), detail), status)
    response.headers.update(headers)
    return response


async def on_mistake(request: Request, error: Exception) -> Response:
    """A mistake of ours: the log has the traceback, the client a sentence."""
    detail = f"{type(error).__name__} while answering {request.url.path[:200]}; see the log"
    return json(Problem("internal_error", detail), 500)


class SafeHeaders:
    """Adds the security headers to every answer that does not bring its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, its answer's headers completed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, complete)

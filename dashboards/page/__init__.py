"""The live page at ``/``: static files, and the headers that keep them safe.

The page draws what ``/v1/page`` and ``/v1/evidence/{deployment}`` say, in the browser. What must
never come in: a template, a build step, a byte from another origin. Links are relative, so that
the page also works below a path of a reverse proxy.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

# Served whole from memory by exact name: no path from a request ever reaches the file system.
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}

# Names in events are hostile. The page sets text only; with trusted types the browser refuses any
# later slip that would parse a string as HTML.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Kept by the browser, asked for again each time: an upgraded daemon never meets an old page.
    "Cache-Control": "no-cache",
}


def routes() -> list[Route]:
    """The routes of the page: ``/``, and each of its files below ``/page/``.

    Files are read once, here. Answers carry a strong ETag and honour ``If-None-Match``.
    """
    found = []
    for file in sorted(files(__name__).iterdir(), key=lambda file: file.name):
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in _TYPES:
            path = "/" if file.name == "index.html" else f"/page/{file.name}"
            found.append(_route(path, file.read_bytes(), _TYPES[suffix]))
    return found


def _route(path: str, body: bytes, media_type: str) -> Route:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**HEADERS, "ETag": etag, "Content-Type": media_type}

    async def serve(request: Request) -> Response:
        if _matches(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers)

    return Route(path, serve, methods=["GET"], include_in_schema=False)


def _matches(asked: str, etag: str) -> bool:
    """Whether an If-None-Match header names ``etag``; proxies that compress make it weak."""
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in asked.split(","))

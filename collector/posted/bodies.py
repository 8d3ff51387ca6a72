"""An HTTP request's body as single payloads: read with limits as it arrives, unpacked, cut up.

Whether a payload is a valid event is ``decode``'s business; nothing here looks inside one. A body
that is broken in one place loses that place only.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from enum import Enum
from typing import Final

import msgspec

# Tokens that decide where an element of a JSON array ends. Possessive, so that a hostile string
# without an end costs one pass and no backtracking.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],]|"', re.DOTALL)
_BLANK: Final = b" \t\r\n"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_GZIP_WINDOW: Final = 31  # 15 bits of window, plus 16: a gzip header is required


class BodyError(ValueError):
    """A body that cannot be used at all."""


class BodyTooLargeError(BodyError):
    """A body over the limit, as sent or once unpacked."""


class BodyTooManyError(BodyError):
    """A body with more payloads than could ever wait for a turn."""


class BodyBrokenError(BodyError):
    """A body whose compression is damaged or cut off."""


class Shape(Enum):
    """What the content type says of a body: one payload a line, or to be found out."""

    LINES = "lines"
    UNKNOWN = "unknown"


class Unpacker:
    """Collects a body chunk by chunk and refuses it as soon as it is over ``limit`` bytes.

    With ``gzip`` the limit holds for the unpacked size, so that a small body that unpacks to
    gigabytes is refused after ``limit`` bytes of it.
    """

    __slots__ = ("_gzip", "_inflate", "_limit", "_parts", "_size", "_started")

    def __init__(self, *, limit: int, gzip: bool) -> None:
        self._limit = limit
        self._gzip = gzip
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        self._parts: list[bytes] = []
        self._size = 0
        self._started = False

    @property
    def size(self) -> int:
        """Bytes held so far."""
        return self._size

    def expect(self, size: int) -> None:
        """Refuses a body whose declared size, as sent, is over the limit already."""
        if size > self._limit:
            raise self._too_large()

    def feed(self, chunk: bytes) -> None:
        """Takes the next chunk; BodyTooLargeError or BodyBrokenError if the body is of no use."""
        if not chunk:
            return
        if not self._gzip:
            self._keep(chunk)
            return
        self._started = True
        rest = chunk
        while rest:
            if self._inflate.eof:  # gzip members may follow one another
                self._inflate = zlib.decompressobj(_GZIP_WINDOW)
            try:
                part = self._inflate.decompress(rest, self._limit - self._size + 1)
            except zlib.error as error:
                raise BodyBrokenError(f"body is not valid gzip: {error}") from error
            self._keep(part)
            rest = self._inflate.unused_data or self._inflate.unconsumed_tail

    def finish(self) -> bytes:
        """The whole body, unpacked; BodyBrokenError if its gzip ends too early."""
        if self._started and not self._inflate.eof:
            raise BodyBrokenError(f"gzip body is cut off after {self._size} unpacked bytes")
        return b"".join(self._parts)

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            raise self._too_large()
        if part:
            self._parts.append(part)

    def _too_large(self) -> BodyTooLargeError:
        state = " once unpacked" if self._gzip else ""
        return BodyTooLargeError(
            f"body is over {self._limit} bytes{state}; send smaller batches "
            "or raise limits.body_bytes"
        )


async def discard(chunks: AsyncIterator[bytes], *, limit: int) -> None:
    """Reads on to the end of a refused body, at most ``limit`` bytes, so that a client that is
    still sending gets to hear why."""
    seen = 0
    async for chunk in chunks:
        seen += len(chunk)
        if seen > limit:
            return


def split(body: bytes, *, shape: Shape, line_bytes: int, most: int) -> list[bytes]:
    """The payloads of a body: its non-blank lines, or the elements of its JSON array, or itself.

    A payload over ``line_bytes`` is cut to one byte more than that: enough for ``decode`` to see
    that it is too long, in the live turn and in the replayed one alike. Line breaks inside an
    element become blanks, so that every payload is a line. BodyTooManyError over ``most`` payloads.

    >>> split(b'[{"a": 1}, {"b": 2}]', shape=Shape.UNKNOWN, line_bytes=99, most=9)
    [b'{"a": 1}', b'{"b": 2}']
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    payloads: list[bytes] = []
    for payload in _pieces(body, shape):
        if len(payloads) == most:
            raise BodyTooManyError(f"body has more than {most} events; send smaller batches")
        payloads.append(payload if len(payload) <= line_bytes else payload[: line_bytes + 1])
    return payloads


def _pieces(body: bytes, shape: Shape) -> Iterator[bytes]:
    if shape is Shape.LINES:
        return _lines(body)
    text = body.lstrip(_BLANK)
    if text.startswith(b"["):
        return _elements(text)
    first, _, rest = text.partition(b"\n")
    if rest and not _is_json(first) and _is_json(text):
        return iter((_one_line(text.strip(_BLANK)),))  # one object, printed over several lines
    return _lines(body)


def _lines(body: bytes) -> Iterator[bytes]:
    for line in io.BytesIO(body):  # an iterator: a body of line breaks must not become a list
        payload = line.strip(_BLANK)
        if payload:
            yield payload.replace(b"\r", b" ")


def _elements(text: bytes) -> Iterator[bytes]:
    try:
        elements = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        yield from _salvaged(text)  # broken somewhere: slower, and loses the broken element only
        return
    for element in elements:
        yield _one_line(bytes(element).strip(_BLANK))


def _salvaged(text: bytes) -> Iterator[bytes]:
    """The elements of an array that is no valid JSON, cut at the commas between them."""
    depth = 0
    begin = 1
    for token in _TOKEN.finditer(text, 1):
        sign = text[token.start() : token.start() + 1]
        if token.group() == b'"':  # a string without an end: nothing after it can be told apart
            break
        if sign in b"{[":
            depth += 1
        elif depth and sign in b"}]":
            depth -= 1
        elif depth == 0 and sign in b",]":
            element = text[begin : token.start()].strip(_BLANK)
            if element:
                yield _one_line(element)
            begin = token.end()
            if sign != b",":
                break
    rest = text[begin:].strip(_BLANK)
    if rest:
        yield _one_line(rest)


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _one_line(payload: bytes) -> bytes:
    if b"\n" in payload or b"\r" in payload:
        return payload.replace(b"\n", b" ").replace(b"\r", b" ")
    return payload

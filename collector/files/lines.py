"""A stream of bytes as lines, in memory that is bounded whatever the stream is."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate
from typing import Final

BLOCK_BYTES: Final = 1 << 20

_GZIP_WINDOW: Final = 31  # 15 bits of window, plus 16: a gzip header is required
_DIGEST_BYTES: Final = 16
_GZIP_MAGIC: Final = b"\x1f\x8b"


class DamagedError(Exception):
    """A compressed stream that ends too early or is damaged; what came before can be used."""


@dataclass(frozen=True, slots=True)
class Overlong:
    """A line over the limit: how it begins, how long it is, a digest of 16 bytes of it, and where
    in the stream it began."""

    head: bytes
    size: int
    digest: bytes
    begin: int


@dataclass(slots=True)
class Lines:
    """Cuts blocks into lines; ``overlong`` collects those that ``limit`` bytes do not hold.

    Never holds more than the limit and one block. White space around a line is removed and blank
    lines are left out. ``begin`` is where in the stream the first byte stands that is in no line
    yet; it may be set before the first block.
    """

    limit: int
    head_bytes: int
    begin: int = 0
    overlong: list[Overlong] = field(default_factory=list)
    _rest: bytes = b""
    _skipped: int = 0
    _digest: blake2b = field(default_factory=lambda: blake2b(digest_size=_DIGEST_BYTES))

    def feed(self, block: bytes) -> list[bytes]:
        """The lines that end in this block."""
        return [line for line in map(bytes.strip, self._cut(block)) if line]

    def feed_at(self, block: bytes) -> tuple[list[int], list[bytes]]:
        """The lines that end in this block, and before them where in the stream each begins."""
        whole = self._cut(block)
        begin = self.begin - sum(map(len, whole)) - len(whole)
        begins = list(accumulate((len(line) + 1 for line in whole[:-1]), initial=begin))
        lines = list(map(bytes.strip, whole))
        if not all(lines):  # an empty one, or none at all
            begins = [place for place, line in zip(begins, lines, strict=False) if line]
            lines = [line for line in lines if line]
        return begins[: len(lines)], lines

    def end(self) -> list[bytes]:
        """The last line, if the stream does not end with a line break."""
        if self._skipped:
            self._finish_skipping()
        self.begin += len(self._rest)
        return [line for line in (self.cut_off(),) if line]

    def cut_off(self) -> bytes:
        """What stands after the last line break; it is forgotten here."""
        rest, self._rest, self._skipped = self._rest.strip(), b"", 0
        return rest

    def _cut(self, block: bytes) -> list[bytes]:
        """The lines that end in this block as they are, after which ``begin`` stands."""
        if self._skipped:
            end = block.find(b"\n")
            self._skip(block if end < 0 else block[:end])
            if end < 0:
                return []
            self._finish_skipping()
            self.begin += 1
            block = block[end + 1 :]
        text = self._rest + block
        *whole, rest = text.split(b"\n")
        self.begin += len(text) - len(rest)
        self._rest = rest
        if len(rest) > self.limit:
            self._digest = blake2b(digest_size=_DIGEST_BYTES)
            self._skip(rest)
            self._rest = rest[: self.head_bytes]
        return whole

    def _skip(self, part: bytes) -> None:
        self._skipped += len(part)
        self._digest.update(part)

    def _finish_skipping(self) -> None:
        digest = self._digest.digest()
        self.overlong.append(Overlong(self._rest, self._skipped, digest, self.begin))
        self.begin += self._skipped
        self._rest, self._skipped = b"", 0


def is_gzip(begin: bytes) -> bool:
    """Whether a stream that begins so is gzip."""
    return begin.startswith(_GZIP_MAGIC)


def unzipped(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks of a gzip stream unpacked, each at most ``BLOCK_BYTES``, of all its members.

    Raises DamagedError once everything readable has been given out. Zero bytes that fill up a tape
    or a disk block after the last member are left out.
    """
    inflate = zlib.decompressobj(_GZIP_WINDOW)
    fresh = False  # whether the member has not begun yet
    for block in blocks:
        rest = block
        while rest:
            if fresh:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
            fresh = False
            try:
                part = inflate.decompress(rest, BLOCK_BYTES)
            except zlib.error as error:
                raise DamagedError(f"its gzip data is damaged ({error})") from error
            if part:
                yield part
            rest = inflate.unconsumed_tail
            if inflate.eof:
                rest = inflate.unused_data
                inflate = zlib.decompressobj(_GZIP_WINDOW)
                fresh = True
    if not fresh:
        raise DamagedError("its gzip data is cut off")

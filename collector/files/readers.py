"""Two ways to read on in a file: plain lines from any byte, everything else from its beginning.

Both give payloads with their places, a bounded number at a time, and hold an open file until
``close``. Whether it is still the file that it was is not asked here.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from analyzers.policy import Limits
from collector.decoding import refused
from collector.decoding.faults import Fault, Reason
from collector.files import recorded as files
from collector.files.lines import BLOCK_BYTES, Lines
from collector.files.place import SAMPLE_BYTES, Place, Stamp, digest, placed
from collector.files.recorded import BYTE_ORDER_MARK, Chunk, FilesError

# A batch of so many bytes is decoded while it still lies in the processor's cache; at double it is
# no faster, and the memory of a poll is this and one block.
POLL_BYTES: Final = 8 << 20


@dataclass(slots=True)
class Cut:
    """What was read: payloads and where each stood, lines of what could not be used, and whether
    more may be waiting."""

    payloads: list[bytes] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    refused_at: list[int] = field(default_factory=list)
    more: bool = False


class Tail:
    """Lines of an open file from ``place`` on; a last line waits for its line break."""

    def __init__(self, file: int, inode: str, place: Place, limits: Limits) -> None:
        self.file = file
        self.inode = inode
        self._life = place.life
        self._limits = limits
        begin = place.at
        if not begin and os.pread(file, len(BYTE_ORDER_MARK), 0) == BYTE_ORDER_MARK:
            begin = len(BYTE_ORDER_MARK)
        self._lines = Lines(limits.line_bytes, limits.reject_payload_bytes, begin)
        self._begins: list[int] = []
        self._pending: list[bytes] = []
        self.read_to = begin

    def read(self, events: int) -> Cut:
        """The next lines, about ``events`` at most."""
        size, more = 0, True
        while more and len(self._pending) < events and size < POLL_BYTES:
            block = os.pread(self.file, BLOCK_BYTES, self.read_to)
            self.read_to += len(block)
            size += len(block)
            more = len(block) == BLOCK_BYTES
            begins, lines = self._lines.feed_at(block)
            self._begins += begins
            self._pending += lines
        return self._given(events, more=more)

    def end(self) -> Cut:
        """What stands after the last line break, as a line."""
        begin = self._lines.begin
        last = self._lines.end()
        self._begins += [begin] * len(last)
        self._pending += last
        return self._given(len(self._pending), more=False)

    def place(self) -> Place:
        """Up to where lines were given."""
        at = self._begins[0] if self._pending else self._lines.begin
        return placed(self.file, self.inode, at, self._life)

    def rested(self) -> bool:
        """Whether nothing is held that is not given yet, so that closing costs nothing."""
        return not self._pending

    def size(self) -> int:
        """How large the file is now, under whatever name."""
        return os.fstat(self.file).st_size

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self.file)

    def _given(self, events: int, *, more: bool) -> Cut:
        given, self._pending = self._pending[:events], self._pending[events:]
        offsets, self._begins = self._begins[:events], self._begins[events:]
        most = self._limits.line_bytes
        if max(map(len, given), default=0) > most:
            # One byte too many is enough for decode to see that a line is too long.
            given = [line if len(line) <= most else line[: most + 1] for line in given]
        cut = Cut(payloads=given, offsets=offsets, more=more or bool(self._pending))
        for line in self._lines.overlong:
            fault = files.too_long(line, self._limits)
            cut.refused.append(_line(fault, line.head, self._limits))
            cut.refused_at.append(line.begin)
        self._lines.overlong.clear()
        return cut


class Whole:
    """Payloads of a file that can only be read from its beginning (gzip, Parquet, one JSON array),
    without the first ``place.at`` ones."""

    def __init__(self, path: Path, stamp: Stamp, place: Place, limits: Limits) -> None:
        self.inode = stamp.inode
        self._path = path
        self._stamp = stamp
        self._limits = limits
        with path.open("rb") as file:
            self._begin = file.read(SAMPLE_BYTES)
        self._life = place.life
        self._skip = place.at
        self._seen = 0
        self._at = place.at
        self._damaged = False
        self._done = False
        self._chunks: Generator[Chunk, None, None] | None = None
        self._pending: list[bytes] = []

    def read(self, events: int) -> Cut:
        """The next payloads, about ``events`` at most."""
        if self._chunks is None:
            self._chunks = self._opened()
        cut = Cut()
        size = 0
        while not self._done and len(self._pending) < events and size < POLL_BYTES:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._done = True
                break
            fresh = chunk.payloads[max(0, self._skip - self._seen) :]
            self._seen += len(chunk.payloads)
            self._pending += fresh
            size += sum(map(len, fresh))
            self._refuse(chunk, cut)
        cut.payloads, self._pending = self._pending[:events], self._pending[events:]
        cut.offsets = list(range(self._at, self._at + len(cut.payloads)))
        self._at += len(cut.payloads)
        cut.more = not self._done or bool(self._pending)
        return cut

    def end(self) -> Cut:
        """Nothing: every payload has been given."""
        return Cut()

    def place(self) -> Place:
        """Up to which payload it was given."""
        return Place(
            at=self._at,
            inode=self.inode,
            begin=digest(self._begin),
            sample=len(self._begin),
            content=self._stamp.content,
            damaged=self._damaged,
            done=self._done and not self._pending,
            life=self._life,
        )

    def rested(self) -> bool:
        """Whether it was given to its end, so that closing costs nothing."""
        return self._done and not self._pending

    def size(self) -> int:
        """Its size when it was begun: what changes meanwhile is read later."""
        return self._stamp.size

    def close(self) -> None:
        """Lets go of the file."""
        if self._chunks is not None:
            self._chunks.close()

    def _opened(self) -> Generator[Chunk, None, None]:
        yield from files.read([self._path], limits=self._limits)

    def _refuse(self, chunk: Chunk, cut: Cut) -> None:
        self._damaged |= any(fault.reason is Reason.TRUNCATED for fault in chunk.faults)
        lines = refusals(chunk, self._path, self._limits)
        cut.refused += lines
        cut.refused_at += [self._seen] * len(lines)


def refusals(chunk: Chunk, path: Path, limits: Limits) -> list[bytes]:
    """The lines of what could not be cut into payloads."""
    # Without a half line the file itself is what is refused: two files are two rejects.
    return [
        _line(fault, told.payload or spoken(path).encode(), limits)
        for fault, told in zip(chunk.faults, chunk.rejects, strict=True)
    ]


def unreadable(path: Path, error: FilesError | OSError, limits: Limits) -> bytes:
    """The line of a file that cannot be read."""
    why = str(error)
    if isinstance(error, OSError):
        why = f"{path} cannot be read ({error.strerror or error}); check its permissions"
    return _line(Fault(Reason.UNREADABLE, why), spoken(path).encode(), limits)


def spoken(path: Path) -> str:
    """A path as text that can be written anywhere, whatever bytes it is made of."""
    return _sound(str(path))


def _sound(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _line(fault: Fault, payload: bytes, limits: Limits) -> bytes:
    told = Fault(fault.reason, _sound(fault.what))
    return refused.line(told, payload, most=limits.reject_payload_bytes)

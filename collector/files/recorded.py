"""Recorded streams as payloads: NDJSON, a JSON array, gzip of either, Parquet, standard input.

Files are read in bounded chunks. What a payload says is ``decode``'s business; here only what can
not even be cut into payloads is refused.

    FilesError                 a stream that cannot be used; the message names it and the remedy
    +-- MissingError           nothing lies there, or a directory without streams
    +-- FormatError            it is no stream of events: UTF-16, an archive, a broken Parquet file
    +-- TooLargeError          one JSON array over limits.body_bytes
    +-- ReadError              the system refuses to read it
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from analyzers.facts import Reject
from analyzers.policy import Limits
from collector.decoding import digests
from collector.decoding.faults import Fault, Reason
from collector.decoding.rejects import reject_unread
from collector.decoding.said import UNREADABLE
from collector.files import parquet
from collector.files.lines import BLOCK_BYTES, DamagedError, Lines, Overlong, is_gzip, unzipped
from collector.posted.bodies import Shape, split

STDIN: Final = Path("-")
SUFFIXES: Final = (
    ".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet",
)  # fmt: skip

# decode reads some ten thousand payloads at once as cheaply as a hundred thousand, and they still
# lie in the processor's cache.
_CHUNK_PAYLOADS: Final = 16_384
_CHUNK_BYTES: Final = 8 << 20
SNIFFED_BYTES: Final = 64
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_FOREIGN: Final = {
    b"\xff\xfe": "it is UTF-16 or UTF-32; convert it to UTF-8",
    b"\xfe\xff": "it is UTF-16; convert it to UTF-8",
    b"PK\x03\x04": "it is a ZIP archive or a spreadsheet; unpack or export it as NDJSON",
    b"\x28\xb5\x2f\xfd": "it is packed by zstd; unpack it first, or use gzip",
    b"BZh": "it is packed by bzip2; unpack it first, or use gzip",
    b"\xfd7zXZ": "it is packed by xz; unpack it first, or use gzip",
    b"SQLite format 3": "it is a database; name a daemon's state file alone, not among streams",
    b"ARROW1": "it is an Arrow file; write it as Parquet",
    b"Obj\x01": "it is an Avro file; write it as NDJSON or Parquet",
    parquet.MAGIC: "it is Parquet inside gzip; unpack it first",
    b"ORC": "it is an ORC file; write it as Parquet",
}

Progress = Callable[[int, int], None]


class FilesError(Exception):
    """A recorded stream that cannot be used."""


class MissingError(FilesError):
    """Nothing to read where something was named."""


class FormatError(FilesError):
    """A file that is no stream of events."""


class TooLargeError(FilesError):
    """A stream that can only be read whole, and is too large for that."""


class ReadError(FilesError):
    """A file that the system does not let us read."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of one stream: its payloads in order, and what could not be cut into payloads.

    ``source`` is the file as it was named. The ``index`` of such a reject is the number of payloads
    in the chunk: it has no place among them. ``faults`` say what is wrong with each of the rejects.
    """

    source: str
    payloads: list[bytes]
    rejects: tuple[Reject, ...] = ()
    faults: tuple[Fault, ...] = ()


def read(
    paths: Sequence[Path],
    *,
    limits: Limits,
    progress: Progress | None = None,
    stdin: BinaryIO | None = None,
    eager: bool = False,
) -> Iterator[Chunk]:
    """The payloads of all streams, in the order of ``paths``, a bounded chunk at a time.

    A directory stands for the streams in it and below it, sorted by path; ``-`` for standard
    input. ``progress`` hears how many bytes are read, and of how many (0: unknown). ``eager``:
    payloads are given out as they come, and not only when a chunk is full. Raises FilesError: for
    what is missing at once, before anything is read.
    """
    sources = found(paths)
    meter = _Meter(progress, _total(sources))
    return _read_all(sources, _Way(limits, eager), meter, stdin)


@dataclass(frozen=True, slots=True)
class _Way:
    """How streams are read."""

    limits: Limits
    eager: bool


def found(paths: Sequence[Path]) -> list[Path]:
    """The streams that ``paths`` stand for; MissingError if one of them is none."""
    sources: list[Path] = []
    for path in paths:
        try:
            sources += _inside(path)
        except OSError as error:
            raise _refused(path, error) from error
    return sources


def _inside(path: Path) -> list[Path]:
    if not path.is_dir():
        if path == STDIN or path.exists():
            return [path]
        raise MissingError(f"{path} does not exist; name a file, a directory, or - for stdin")
    inside = sorted(inner for inner in path.rglob("*") if is_stream(inner.name) and inner.is_file())
    if not inside:
        raise MissingError(f"{path} holds no stream; a stream is {', '.join(SUFFIXES)}")
    return inside


def is_stream(name: str) -> bool:
    """Whether a file in a folder is one of its streams, by its name."""
    return name.endswith(SUFFIXES) and name[0] not in "._"


def _refused(path: Path, error: OSError) -> ReadError:
    return ReadError(f"{path} cannot be read ({error.strerror or error}); check its permissions")


@dataclass(slots=True)
class _Meter:
    """Counts the bytes read from disk, and tells."""

    progress: Progress | None
    total: int
    done: int = 0

    def add(self, size: int) -> None:
        self.done += size
        if self.progress is not None:
            self.progress(self.done, self.total)


def _total(sources: Sequence[Path]) -> int:
    if all(source != STDIN and source.is_file() for source in sources):
        return sum(source.stat().st_size for source in sources)
    return 0


def _read_all(
    sources: Sequence[Path], way: _Way, meter: _Meter, stdin: BinaryIO | None
) -> Iterator[Chunk]:
    for source in sources:
        try:
            if source == STDIN:
                yield from _read_open(source, stdin or sys.stdin.buffer, way, meter)
            else:
                with source.open("rb") as file:
                    yield from _read_open(source, file, way, meter)
        except OSError as error:
            raise _refused(source, error) from error


def _read_open(source: Path, file: BinaryIO, way: _Way, meter: _Meter) -> Iterator[Chunk]:
    limits = way.limits
    blocks = _blocks(file, meter)
    begin = next(blocks, b"")
    if _is_parquet(source, begin):
        meter.done -= len(begin)  # it is read by rows, from its end
        yield from _read_parquet(source, limits, meter)
        return
    blocks = chain((begin,), blocks)
    readable = _Readable(unzipped(blocks) if begin and is_gzip(begin) else blocks)
    cutting = _Cutting(str(source), limits, eager=way.eager)
    yield from _read_text(cutting, iter(readable), limits)
    yield from cutting.end(readable.damage)


def _is_parquet(source: Path, begin: bytes) -> bool:
    return begin.startswith(parquet.MAGIC) or bool(begin and source.suffix == ".parquet")


def is_lines(source: Path, begin: bytes) -> bool:
    """Whether a file that begins so is plain lines, so that it can be read on from any of them."""
    if _is_parquet(source, begin) or is_gzip(begin) or _foreign(begin):
        return False
    return not _is_spread(begin.removeprefix(BYTE_ORDER_MARK))


def _blocks(file: BinaryIO, meter: _Meter) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        meter.add(len(block))
        yield block


@dataclass(slots=True)
class _Readable:
    """The blocks of a stream as far as they can be read; ``damage`` says why they end early."""

    blocks: Iterator[bytes]
    damage: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self.blocks
        except DamagedError as error:
            self.damage = str(error)


def _read_text(cutting: _Cutting, blocks: Iterator[bytes], limits: Limits) -> Iterator[Chunk]:
    begin = b""
    while len(begin) < SNIFFED_BYTES and (block := next(blocks, b"")):
        begin += block
    begin = begin.removeprefix(BYTE_ORDER_MARK)
    _refuse_foreign(cutting.source, begin)
    blocks = chain((begin,), blocks)
    if _is_spread(begin):
        body = b"".join(_first(blocks, limits.body_bytes))
        whole = len(body) <= limits.body_bytes
        if whole and _is_json(body):
            yield from cutting.take(_split(body, limits))
            return
        if begin.lstrip().startswith(b"["):
            if not whole:
                raise TooLargeError(
                    f"{cutting.source} is one JSON array over {limits.body_bytes} bytes "
                    "(limits.body_bytes); write one event a line, as in jq -c '.[]'"
                )
            yield from cutting.take(_split(body, limits))  # what is sound in a broken array
            return
        blocks = chain(_slices(body), blocks)
    for block in blocks:
        yield from cutting.feed(block)


def _is_spread(begin: bytes) -> bool:
    """Whether a stream seems to be one JSON value: an array, or an object over several lines."""
    first, _, rest = begin.lstrip().partition(b"\n")
    if first.startswith(b"["):
        return not (rest.strip() and _is_json(first))
    # What goes on with another object is lines, of which the first is broken.
    goes_on = rest.lstrip().startswith((b'"', b"}"))
    return first.startswith(b"{") and goes_on and not _is_json(first)


def _split(body: bytes, limits: Limits) -> list[bytes]:
    return split(body, shape=Shape.UNKNOWN, line_bytes=limits.line_bytes, most=len(body))


def _refuse_foreign(source: str, begin: bytes) -> None:
    if what := _foreign(begin):
        raise FormatError(f"{source} is no {what}")


def _foreign(begin: bytes) -> str:
    for magic, what in _FOREIGN.items():
        if begin.startswith(magic):
            return f"stream of events: {what}"
    if b"\0" in begin[:4]:  # UTF-16 without a byte order mark, or some binary format
        return "text in UTF-8: convert it, for instance with iconv"
    return ""


def _first(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Blocks until they hold more than ``size`` bytes, or end."""
    read = 0
    while read <= size and (block := next(blocks, b"")):
        read += len(block)
        yield block


def _slices(body: bytes) -> Iterator[bytes]:
    return (body[i : i + BLOCK_BYTES] for i in range(0, len(body), BLOCK_BYTES))


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except UNREADABLE:
        return False
    return True


def too_long(line: Overlong, limits: Limits) -> Fault:
    """What is wrong with a line over the limit."""
    return Fault(Reason.TOO_LONG, f"a line of {line.size} bytes is over {limits.line_bytes}")


class _Cutting:
    """Payloads on their way into chunks."""

    def __init__(self, source: str, limits: Limits, *, eager: bool = False) -> None:
        self.source = source
        self._eager = eager
        self._limits = limits
        self._lines = Lines(limit=limits.line_bytes, head_bytes=limits.reject_payload_bytes)
        self._most = min(_CHUNK_PAYLOADS, limits.batch_events)
        self._payloads: list[bytes] = []
        self._size = 0

    def feed(self, block: bytes) -> Iterator[Chunk]:
        """The chunks that are full with the lines that end in this block."""
        yield from self.take(self._lines.feed(block))
        if self._eager and (self._payloads or self._lines.overlong):
            yield self._chunk()

    def take(self, payloads: list[bytes]) -> Iterator[Chunk]:
        """The chunks that are full with these payloads."""
        for begin in range(0, len(payloads), self._most):
            part = payloads[begin : begin + self._most]
            if len(self._payloads) + len(part) > self._most:
                yield self._chunk()
            self._payloads += part
            self._size += sum(map(len, part))
            if self._size >= _CHUNK_BYTES:
                yield self._chunk()

    def end(self, damage: str | None = None) -> Iterator[Chunk]:
        """The last chunk, if there is something in it; ``damage`` says why the stream ends here.

        Then what stands after the last line break is half a line, and no payload.
        """
        rejects: tuple[Reject, ...] = ()
        faults: tuple[Fault, ...] = ()
        if damage is None:
            self._payloads += self._lines.end()
        else:
            fault = Fault(Reason.TRUNCATED, f"{self.source} cannot be read to its end: {damage}")
            payload = self._lines.cut_off()[: self._limits.reject_payload_bytes]
            # Whose the half line was is not asked: the file is at fault, and not a release.
            faults = (fault,)
            rejects = (
                Reject(
                    index=len(self._payloads),
                    reason=fault.reason.value,
                    detail=fault.detail,
                    payload=payload,
                    key=digests.key_of_bytes(fault.what.encode() + payload),
                ),
            )
        if self._payloads or self._lines.overlong or rejects:
            yield self._chunk(rejects, faults)

    def _chunk(self, more: tuple[Reject, ...] = (), why: tuple[Fault, ...] = ()) -> Chunk:
        faults = tuple(too_long(line, self._limits) for line in self._lines.overlong)
        rejects = tuple(
            reject_unread(
                len(self._payloads),
                line.head,
                fault,
                limits=self._limits,
                unnamed=digests.key_of_digest(line.digest),
            )
            for line, fault in zip(self._lines.overlong, faults, strict=True)
        )
        chunk = Chunk(self.source, self._payloads, (*rejects, *more), (*faults, *why))
        self._payloads, self._size = [], 0
        self._lines.overlong.clear()
        return chunk


def _read_parquet(source: Path, limits: Limits, meter: _Meter) -> Iterator[Chunk]:
    if not source.is_file():
        raise FormatError(f"{source} gives Parquet, which is read from its end; name a file")
    cutting = _Cutting(str(source), limits)
    size, before = source.stat().st_size, meter.done

    def told(share: float) -> None:
        meter.add(before + int(size * share) - meter.done)

    rows, damage = 0, None
    try:
        for payloads in parquet.payloads(source, told=told):
            rows += len(payloads)
            yield from cutting.take(payloads)
    except parquet.ParquetError as error:
        if not rows:
            raise FormatError(f"{source} is no Parquet file of events: {error}") from error
        damage = f"after {rows} rows {error}"
    yield from cutting.end(damage)

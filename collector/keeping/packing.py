"""Bodies as the state file keeps them: compressed where that pays, and checked when read back."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector.keeping.state_file import TooLarge, damaged

# One body of one turn. SQLite takes blobs up to 1 GB; a quarter of that is eight of the largest
# request bodies in one turn, and still fits into memory twice on a small machine.
BODY_BYTES_MAX: Final = 256 << 20
# Below this a body is kept as it is: clock-only turns compress to nothing worth having, and a
# daemon that has seen no traffic yet need not load pyarrow (0.2 s of CPU, 43 MB).
PACK_FROM_BYTES: Final = 512
# zstd at level 1, from pyarrow: on 16 MB of JSON events 0.42 us of CPU an event and 8.2 % of the
# size, where zlib at level 1 takes 1.44 us and 11.1 %; at 330,000 events a second zlib would be
# half of the whole path.
LEVEL: Final = 1
RAW: Final = "raw"
ZSTD: Final = "zstd"


@dataclass(frozen=True, slots=True)
class Packed:
    """A body ready to be stored: ``size`` bytes before packing, ``crc`` of the ``body`` kept."""

    codec: str
    size: int
    crc: int
    body: bytes

    def columns(self) -> tuple[str, int, int, int, bytes]:
        """The values of the columns codec, size, crc, stored, body."""
        return self.codec, self.size, self.crc, len(self.body), self.body


def pack(body: bytes, what: str) -> Packed:
    """``body`` compressed if that makes it smaller; ``TooLarge`` names ``what`` and the limit."""
    if len(body) > BODY_BYTES_MAX:
        raise TooLarge(
            f"{what} has {len(body)} bytes and a turn may bring {BODY_BYTES_MAX}: "
            "take fewer events into one turn"
        )
    if len(body) >= PACK_FROM_BYTES:
        import pyarrow as pa  # noqa: PLC0415  # costs a start that may never need it

        small: bytes = pa.Codec(ZSTD, compression_level=LEVEL).compress(body, asbytes=True)
        if len(small) < len(body):
            return Packed(ZSTD, len(body), zlib.crc32(small), small)
    return Packed(RAW, len(body), zlib.crc32(body), body)


def unpack(packed: Packed, path: Path, what: str) -> bytes:
    """The body as it was given to ``pack``; ``Corrupt`` names the file at ``path`` and ``what``.

    The file may come from anywhere, so its ``size`` is held to the limit before memory is taken.
    """
    if zlib.crc32(packed.body) != packed.crc or not 0 <= packed.size <= BODY_BYTES_MAX:
        raise damaged(path, f"the checksum of {what} does not match")
    if packed.codec == RAW:
        if len(packed.body) != packed.size:
            raise damaged(path, f"{what} is cut short")
        return packed.body
    if packed.codec != ZSTD:
        raise damaged(path, f"{what} has the unknown codec {packed.codec!r}")
    import pyarrow as pa  # noqa: PLC0415  # costs a start that may never need it

    try:
        body: bytes = pa.Codec(ZSTD).decompress(
            packed.body, decompressed_size=packed.size, asbytes=True
        )
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, f"{what} cannot be unpacked: {error}") from error
    return body

"""What a compressed record batch unpacks to, up to a limit.

A batch of a megabyte may unpack to gigabytes; none of that may be held before it is refused.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Final

import lz4.frame
import snappy
import zstandard

NONE: Final = 0
# What Snappy's Java library writes before its blocks: a name, a version, the lowest readable one.
_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER: Final = 16
_GZIP_WINDOW: Final = 31  # 15 bits of window, plus 16: a gzip header is required


class TooLargeError(ValueError):
    """A batch that unpacks to more than it may."""


class BrokenError(ValueError):
    """A batch that does not unpack, or in a way that nobody here knows."""


def unpacked(data: bytes, codec: int, *, most: int) -> bytes:
    """What ``data`` unpacks to by Kafka's number of the codec; TooLargeError over ``most`` bytes,
    BrokenError if it does not unpack."""
    if codec == NONE:
        return data
    unpack = _UNPACK.get(codec)
    if unpack is None:
        raise BrokenError(f"unknown compression {codec}")
    try:
        return unpack(data, most)
    except TooLargeError as error:
        raise TooLargeError(f"unpacks to more than {most} bytes") from error
    except Exception as error:  # each library has errors of its own, some derive from none
        raise BrokenError(f"{_NAMES[codec]}: {error}") from error


def _gzip(data: bytes, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while data:
        inflate = zlib.decompressobj(_GZIP_WINDOW)
        part = inflate.decompress(data, most - size + 1)
        size += len(part)
        if size > most:
            raise TooLargeError
        if not inflate.eof:
            raise BrokenError("cut off")
        parts.append(part)
        data = inflate.unused_data  # gzip members may follow one another
    return b"".join(parts)


def _snappy(data: bytes, most: int) -> bytes:
    if not data.startswith(_XERIAL_MAGIC):
        return _snappy_block(data, most)
    parts: list[bytes] = []
    size = 0
    at = _XERIAL_HEADER
    while at < len(data):
        (length,) = struct.unpack_from(">i", data, at)
        if length < 0 or at + 4 + length > len(data):
            raise BrokenError("cut off")
        part = _snappy_block(data[at + 4 : at + 4 + length], most - size)
        size += len(part)
        parts.append(part)
        at += 4 + length
    return b"".join(parts)


def _snappy_block(data: bytes, most: int) -> bytes:
    size = 0
    for place, byte in enumerate(data[:5]):  # how large it becomes stands before it
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            break
    if size > most:
        raise TooLargeError
    return bytes(snappy.decompress(data))


def _lz4(data: bytes, most: int) -> bytes:
    frame = lz4.frame.LZ4FrameDecompressor()
    part: bytes = frame.decompress(data, max_length=most + 1)
    if len(part) > most:
        raise TooLargeError
    if not frame.eof:
        raise BrokenError("cut off")
    return part


def _zstd(data: bytes, most: int) -> bytes:
    opened = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True)
    with opened as reader:
        part = reader.read(most + 1)
    if len(part) > most:
        raise TooLargeError
    return part


_UNPACK: Final[dict[int, Callable[[bytes, int], bytes]]] = {1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
_NAMES: Final = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

"""Identities as the checkpoint keeps them: 20 bytes each, in columns.

Blobs of the first form, rows of 32 bytes, are read as well: what they name is known again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from analyzers.facts import NS_PER_S, Ints, Words
from collector.decoding import times

Seconds: TypeAlias = npt.NDArray[np.uint32]

# A blob begins with this, so that it cannot be taken for one of the first form: rows of 32 bytes,
# the key in two words, the content, the second. Then come the columns of its rows.
_MAGIC: Final = b"PLIMIDS2"
ROW_BYTES: Final = 20
_ROW_BYTES_1: Final = 32
_FIRST_S: Final = times.FIRST_NS // NS_PER_S
_LOW: Final = np.uint64(0xFFFF_FFFF)


class SeenDamagedError(ValueError):
    """Kept identities that cannot be read back."""


def rows_of(keys: Words, content: Words) -> Words:
    """Identities as they are kept: 96 bits of the key and 32 of the content, uint64 (n, 2)."""
    rows = np.empty((len(keys), 2), np.uint64)
    rows[:, 0] = keys[:, 0]
    rows[:, 1] = (keys[:, 1] & ~_LOW) | (content & _LOW)
    return rows


def seconds_of(time_ns: Ints) -> Seconds:
    """Event times as seconds since 2000."""
    return np.clip(time_ns // NS_PER_S - _FIRST_S, 0, None).astype(np.uint32)


def ns_of(seconds: int) -> int:
    """The time that so many seconds since 2000 are."""
    return (seconds + _FIRST_S) * NS_PER_S


def newest(blob: bytes) -> int:
    """The end of the second in which the newest of kept identities happened, 0 if there is none.

    The end, because times are kept to the second: nothing in the blob is newer than this.
    """
    _, seconds = unpacked(blob)
    return ns_of(int(seconds.max()) + 1) - 1 if len(seconds) else 0


def merged(blobs: Sequence[bytes], *, before_ns: int = 0) -> bytes:
    """One blob in the place of many, without what happened before a time."""
    floor_s = max(before_ns // NS_PER_S - _FIRST_S, 0)
    parts = [unpacked(blob) for blob in blobs]
    if not parts:
        return b""
    words = np.concatenate([words for words, _ in parts])
    seconds = np.concatenate([seconds for _, seconds in parts])
    alive = seconds >= floor_s
    return packed(words[alive], seconds[alive])


def packed(words: Words, seconds: Seconds) -> bytes:
    """Rows and their seconds as a blob.

    Columns, because seconds in a row compress to nearly nothing, and digests not at all.
    """
    if not len(words):
        return b""
    return _MAGIC + words.astype("<u8").tobytes() + seconds.astype("<u4").tobytes()


def unpacked(blob: bytes) -> tuple[Words, Seconds]:
    """The rows and seconds of a blob; SeenDamagedError if it is none."""
    if blob.startswith(_MAGIC):
        count, over = divmod(len(blob) - len(_MAGIC), ROW_BYTES)
        if not over:
            words = np.frombuffer(blob, "<u8", count * 2, len(_MAGIC)).reshape(-1, 2)
            seconds = np.frombuffer(blob, "<u4", count, len(_MAGIC) + count * 16)
            return words.astype(np.uint64), seconds.astype(np.uint32)
    elif not len(blob) % _ROW_BYTES_1:
        rows = np.frombuffer(blob, "<u8").reshape(-1, 4).astype(np.uint64)
        return rows_of(rows[:, :2], rows[:, 2]), rows[:, 3].astype(np.uint32)
    raise SeenDamagedError(
        f"kept identities are {len(blob)} bytes, no whole number of them; restore the state from "
        "a backup, or start with an empty one"
    )

"""The identities of everything that has counted, within a horizon in time and in number.

Exact: an identity is 96 bits of a digest. It is kept in 16 bytes, with 32 bits of what it said. Its
time is kept once for many: identities lie in generations, one for each slice of event time, and to
forget is to drop the oldest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from analyzers.facts import NS_PER_S, Bools, Ints, Words
from collector.novelty.blobs import Seconds, ns_of, rows_of, seconds_of, unpacked
from collector.novelty.identities import ROW_BITS, Index

DAY_S: Final = 24 * 3600
# For who does not say how long: asked to forget earlier, it only keeps some for longer.
_HORIZON_S: Final = 35 * DAY_S

# The horizon is so many generations: identities are kept up to a 64th longer than asked for.
_SLICES: Final = 64
# So many slices beyond the horizon a time is ahead of the stream, and all such times are one slice.
_AHEAD: Final = 8
# Before a horizon is known there may be more of them; beyond this the oldest become one.
_GENERATIONS_MAX: Final = 192
ROW_MEMORY: Final = 16  # bytes of a row: two words
_CHUNK_MAX: Final = 4096  # rows; a generation leaves half a chunk unused, 32 kB
_AT_ONCE: Final = 1 << 14  # rows set aside for searching, 256 kB
_LOW: Final = np.uint64(0xFFFF_FFFF)


class Seen:
    """Everything that has counted, the newest ``limit`` of it.

    ``horizon_s`` is how far back ``forget`` will be asked to keep it, or longer than that.
    22 to 24 bytes each from a million on. ``salt`` is random, and never changes an answer. What is
    entered counts from the last ``begin`` on as new: it can be taken as a blob, or taken back.
    """

    __slots__ = (
        "_chunk",
        "_count",
        "_dropped",
        "_fills",
        "_floor_s",
        "_free",
        "_fresh",
        "_generations",
        "_index",
        "_limit",
        "_newest_s",
        "_shed_s",
        "_short_s",
        "_slice_s",
        "_store",
        "_told",
        "_used",
    )

    def __init__(
        self,
        *,
        limit: int = 20_000_000,
        salt: int = 0x9E3779B97F4A7C15,
        horizon_s: int = _HORIZON_S,
    ) -> None:
        self._limit = limit
        self._slice_s = max(horizon_s // _SLICES, 1)
        self._chunk = min(max(limit // 1024, 16), _CHUNK_MAX)
        chunks = (limit + 2 * _AT_ONCE) // self._chunk + _GENERATIONS_MAX
        room = _AT_ONCE + chunks * self._chunk
        if room >= 1 << ROW_BITS:
            raise ValueError(f"{limit} identities are more than can be told apart: take fewer")
        # Memory is taken page by page when it is first written, so room for all of them costs
        # nothing until they come, and nothing is ever copied. The first rows are for searching.
        self._store = np.empty((room, 2), np.uint64)
        self._free = list(range(chunks))[::-1]
        self._index = Index(self._store, salt)
        self._fills = np.zeros(chunks, np.int64)  # rows in use of each chunk
        self._generations: dict[int, list[int]] = {}  # the chunks of each slice of time
        self._count = self._used = self._newest_s = 0
        # Before ``_shed_s`` nothing is known, before ``_short_s`` not all: the limit was reached.
        self._floor_s = self._shed_s = self._short_s = 0
        self._dropped = self._told = 0
        self._fresh: list[tuple[Words, Seconds, Ints]] = []

    def __len__(self) -> int:
        return self._count

    @property
    def floor_ns(self) -> int:
        """What happened before this has been forgotten: nobody can say whether it is new."""
        floor_s = max(self._floor_s, self._shed_s)
        return ns_of(floor_s) if floor_s else 0

    @property
    def bound(self) -> Literal["time", "ids"]:
        """Which horizon is in force: that in time, or the number of identities, if it is nearer."""
        return "ids" if max(self._shed_s, self._short_s) > self._floor_s else "time"

    @property
    def dropped(self) -> int:
        """How many were dropped for their number alone, within the horizon in time."""
        return self._dropped

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return self._index.nbytes + (_AT_ONCE + self._used * self._chunk) * ROW_MEMORY

    @property
    def newest_ns(self) -> int:
        """The newest event time entered, to the second; 2000 if there is none."""
        return ns_of(self._newest_s)

    def begin(self) -> None:
        """From here on things are new; what was new before stays for good."""
        self._fresh.clear()

    def fresh(self) -> tuple[Words, Seconds]:
        """What was entered since ``begin``: rows of two words, uint64 (n, 2), and their seconds."""
        if not self._fresh:
            return np.empty((0, 2), np.uint64), np.empty(0, np.uint32)
        words, seconds, _ = zip(*self._fresh, strict=True)
        return np.concatenate(words), np.concatenate(seconds)

    def rewind(self) -> None:
        """Takes back what was entered since ``begin``: what had it was not committed."""
        if not self._fresh:
            return
        rows = np.unique(np.concatenate([rows for _, _, rows in self._fresh]))
        self._fresh.clear()
        chunks, offsets = np.divmod(rows - _AT_ONCE, self._chunk)
        kept = offsets < self._fills[chunks]  # the others have been dropped meanwhile
        rows, chunks, offsets = rows[kept], chunks[kept], offsets[kept]
        self._index.remove(rows)
        self._count -= len(rows)
        # They are the last of their chunks; rows are in order, so the first of a chunk is its end.
        ends, firsts = np.unique(chunks, return_index=True)
        self._fills[ends] = offsets[firsts]
        for slot, chunks_of in list(self._generations.items()):
            self._free += [chunk for chunk in chunks_of if not self._fills[chunk]]
            chunks_of[:] = [chunk for chunk in chunks_of if self._fills[chunk]]
            if not chunks_of:
                del self._generations[slot]

    def load(self, blobs: Sequence[bytes]) -> None:
        """Enters identities kept earlier; SeenDamagedError if a blob is not from ``keep_new``.

        Backwards: one that stands there twice had been forgotten, and then came with a new time.
        """
        for blob in reversed(blobs):
            words, seconds = unpacked(blob)
            self.enter(words[::-1], seconds[::-1])
            self.begin()

    def add(self, keys: Words, content: Words, time_ns: Ints) -> tuple[Bools, Bools]:
        """Enters n identities: which are new, and which of the others say something else.

        ``keys`` has shape (n, 2), all else (n,). Of equal keys in one call the first is new.
        """
        return self.enter(rows_of(keys, content), seconds_of(time_ns))

    def enter(self, words: Words, seconds: Seconds) -> tuple[Bools, Bools]:
        """As ``add``, for rows as ``fresh`` gives them."""
        new = np.empty(len(words), np.bool_)
        conflicting = np.empty(len(words), np.bool_)
        for begin in range(0, len(words), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            new[part], conflicting[part] = self._enter(words[part], seconds[part])
        return new, conflicting

    def _enter(self, words: Words, seconds: Seconds) -> tuple[Bools, Bools]:
        if self._count + len(words) > self._limit + _AT_ONCE:
            self._shed()
        if self._index.crowded(len(words)):
            every = [chunk for chunks in self._generations.values() for chunk in chunks]
            self._index.renew(self._rows_of(every), len(words))
        self._store[: len(words)] = words
        scratch = np.arange(len(words))
        owners, places = self._index.enter(scratch)
        new = owners == scratch
        conflicting = (self._store[owners, 1] ^ words[:, 1]) & _LOW != 0
        chosen, chosen_s = words, seconds
        if not new.all():
            chosen, chosen_s, places = words[new], seconds[new], places[new]
        if len(chosen):
            rows = self._placed(chosen_s)
            self._store[rows] = chosen
            self._index.move(places, rows)
            self._count += len(rows)
            self._newest_s = max(self._newest_s, int(chosen_s.max()))
            self._fresh.append((chosen, chosen_s, rows))
        return new, conflicting

    def _placed(self, seconds: Seconds) -> Ints:
        """A row for each of so many new identities, in the generations of their times."""
        slots = seconds.astype(np.int64) // self._slice_s
        if self._floor_s:  # a time far ahead must not keep its identity for ever
            slots = np.minimum(slots, self._ahead())
        rows = np.empty(len(slots), np.int64)
        if slots[0] == slots[-1] and (slots == slots[0]).all():
            self._fill(int(slots[0]), rows, np.arange(len(slots)))
            return rows
        for slot in np.unique(slots).tolist():
            self._fill(slot, rows, np.flatnonzero(slots == slot))
        return rows

    def _ahead(self) -> int:
        return self._floor_s // self._slice_s + _SLICES + _AHEAD

    def _fill(self, slot: int, rows: Ints, wanted: Ints) -> None:
        chunks = self._generations.setdefault(slot, [])
        done = 0
        while done < len(wanted):
            if not chunks or self._fills[chunks[-1]] == self._chunk:
                chunks.append(self._free.pop())
                self._used = max(self._used, chunks[-1] + 1)
            filled = int(self._fills[chunks[-1]])
            taken = min(self._chunk - filled, len(wanted) - done)
            first = _AT_ONCE + chunks[-1] * self._chunk + filled
            rows[wanted[done : done + taken]] = np.arange(first, first + taken)
            self._fills[chunks[-1]] += taken
            done += taken
        if len(self._generations) > _GENERATIONS_MAX:  # the oldest is then kept for longer
            old, after = sorted(self._generations)[:2]
            self._generations[after][:0] = self._generations.pop(old)

    def forget(self, before_ns: int | None = None) -> int:
        """Drops generations that happened before a time, and the oldest ones above the limit.

        Gives back how many were dropped for the limit since it was last asked: those lay within
        the horizon in time. What is before the time counts as stale at once.
        """
        if before_ns is not None:
            self._floor_s = max(self._floor_s, (before_ns - ns_of(0)) // NS_PER_S)
            dead = [
                slot for slot in self._generations if (slot + 1) * self._slice_s <= self._floor_s
            ]
            for slot in dead:
                self._drop(slot, len(self._generations[slot]))
        if self._count > self._limit:
            self._shed()
        told, self._told = self._told, self._dropped
        return self._dropped - told

    def _shed(self) -> None:
        """Drops the oldest, an eighth more than is over the limit, so that it is rare."""
        goal = self._limit - self._limit // 8
        before = self._count
        ahead = self._ahead()
        if self._floor_s and ahead in self._generations:  # refused for their times, most likely
            self._drop(ahead, len(self._generations[ahead]))
        for slot in sorted(self._generations)[:-1]:
            if self._count <= goal:
                break
            self._drop(slot, len(self._generations[slot]))
            self._shed_s = max(self._shed_s, (slot + 1) * self._slice_s)
        if (
            self._count > goal and self._generations
        ):  # all of it is of one slice: what came first goes, none is stale
            slot = max(self._generations)
            excess = -(-(self._count - goal) // self._chunk)
            self._drop(slot, min(excess, len(self._generations[slot]) - 1))
            self._short_s = (slot + 1) * self._slice_s
        self._dropped += before - self._count

    def _drop(self, slot: int, count: int) -> None:
        """Forgets the first ``count`` chunks of a generation."""
        chunks = self._generations[slot]
        gone = chunks[:count]
        rows = self._rows_of(gone)
        for begin in range(0, len(rows), _AT_ONCE):
            self._index.remove(rows[begin : begin + _AT_ONCE])
        self._count -= len(rows)
        self._fills[gone] = 0
        self._free += gone[::-1]
        del chunks[:count]
        if not chunks:
            del self._generations[slot]

    def _rows_of(self, chunks: list[int]) -> Ints:
        """The rows in use of some chunks."""
        numbers = np.array(chunks, np.int64)
        fills = self._fills[numbers]
        full, partly = numbers[fills == self._chunk], numbers[fills < self._chunk]
        firsts = _AT_ONCE + full * self._chunk
        rows = [(firsts[:, None] + np.arange(self._chunk)).ravel()]
        for chunk in partly.tolist():
            first = _AT_ONCE + chunk * self._chunk
            rows.append(np.arange(first, first + int(self._fills[chunk])))
        return np.concatenate(rows)

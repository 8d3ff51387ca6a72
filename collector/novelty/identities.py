"""Where each of many identities is kept: a hash index over rows that lie elsewhere, 5 to 7 bytes
for each of them.

A bucket is eight places of four bytes, half a line of the processor's cache: the number of a row,
and a few bits of its hash, so that most places need not be followed. A whole batch is looked up and
entered at once, a step at a time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from analyzers.facts import Bools, Ints, Words

_Places = npt.NDArray[np.uint32]

ROW_BITS: Final = 27
_ROW: Final = np.uint32((1 << ROW_BITS) - 1)
_TAGS: Final = 31  # of five bits; the last one never occurs, so that a free place has no tag
_FREE: Final = np.uint32(0xFFFF_FFFF)
_GONE: Final = np.uint32(0xFFFF_FFFE)
_BUCKET: Final = 8
# In use at most; at 0.9 every third search goes on to the next bucket, at 0.8 every seventh.
_LOAD: Final = 0.84
_GROWTH: Final = 1.45  # each identity moves twice on average; at 1.25 four times, for 1 byte less
_BUCKETS_MIN: Final = 64
_AT_ONCE: Final = 1 << 16
_HALF: Final = np.uint64(32)
_LOW: Final = np.uint64(0xFFFF_FFFF)


class Index:
    """Rows of ``store`` by their identities, which are the words of a row, uint64 (rows, 2).

    Of the second word only the upper half counts. ``salt`` is a random odd number: with a known one
    a sender could choose identities that all fall into one bucket. It never changes an answer.
    """

    __slots__ = ("_buckets", "_count", "_filled", "_places", "_salt", "_store")

    def __init__(self, store: Words, salt: int) -> None:
        self._store = store
        self._salt = np.uint64((salt | 1) & 0xFFFF_FFFF_FFFF_FFFF)
        self._resize(0)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return self._places.nbytes + self._filled.nbytes

    def crowded(self, more: int) -> bool:
        """Whether so many more would make searching slow: it is time to ``renew``."""
        return self._count + more > _LOAD * _BUCKET * self._buckets

    def renew(self, rows: Ints, more: int) -> None:
        """Only these rows from now on, with room for so many more."""
        self._places = np.empty(0, np.uint32)  # freed before the larger one is made
        self._resize(len(rows) + more)
        for begin in range(0, len(rows), _AT_ONCE):
            self._place(rows[begin : begin + _AT_ONCE])

    def _place(self, rows: Ints) -> None:
        """As ``enter``, for rows that are known to be new and different: nothing is compared."""
        buckets, _, entries = self._wanted(rows, self._store.take(rows, axis=0))
        places, filled = self._places, self._filled
        self._count += len(rows)
        while len(entries):
            used = filled.take(buckets)
            place = buckets * _BUCKET + used
            lost = used == _BUCKET
            if lost.any():
                buckets[lost] = (buckets[lost] + 1) % self._buckets
                trying = np.flatnonzero(~lost)
                place = place[trying]
                places[place] = entries[trying]
                lost[trying] = places.take(place) != entries[trying]
            else:
                places[place] = entries
                lost = places.take(place) != entries
            won = ~lost
            filled[buckets[won]] += 1
            buckets, entries = buckets[lost], entries[lost]

    def _resize(self, count: int) -> None:
        room = count / (_LOAD * _BUCKET) * _GROWTH
        self._buckets = max(int(room), _BUCKETS_MIN)
        self._places = np.full(self._buckets * _BUCKET, _FREE, np.uint32)
        self._filled = np.zeros(self._buckets, np.uint8)
        self._count = 0

    def enter(self, rows: Ints) -> tuple[Ints, Ints]:
        """For each row the one that has its identity, itself if it is new, and the place of that.

        Of equal identities in one call the first is new: they search in step, and of several that
        want one place the first takes it.
        """
        store, places, filled = self._store, self._places, self._filled
        keys = store.take(rows, axis=0)
        buckets, tags, entries = self._wanted(rows, keys)
        owners, owned = rows.copy(), np.empty(len(rows), np.int64)
        searching = np.arange(len(rows))
        while len(searching):
            bucket = buckets[searching]
            found = self._bucket(bucket)
            alike = np.flatnonzero((found >> np.uint32(ROW_BITS)) == tags[searching, None])
            done = np.zeros(len(searching), np.bool_)
            if len(alike):
                which = alike // _BUCKET
                row = (found.ravel()[alike] & _ROW).astype(np.int64)
                same = _same(store.take(row, axis=0), keys.take(searching[which], axis=0))
                which, row, alike = which[same], row[same], alike[same]
                owners[searching[which]] = row
                owned[searching[which]] = bucket[which] * _BUCKET + alike % _BUCKET
                done[which] = True
            rest = np.flatnonzero(~done)
            used = filled[bucket[rest]]
            full = used == _BUCKET
            buckets[searching[rest[full]]] += 1
            trying = rest[~full]
            place = bucket[trying] * _BUCKET + used[~full]
            entry = entries[searching[trying]]
            places[place[::-1]] = entry[::-1]  # of several writes to one place the last stays
            won = places[place] == entry
            filled[bucket[trying[won]]] += 1
            owned[searching[trying[won]]] = place[won]
            self._count += int(np.count_nonzero(won))
            done[trying[won]] = True
            searching = searching[~done]
            buckets[searching] %= self._buckets
        return owners, owned

    def remove(self, rows: Ints) -> None:
        """Takes rows out; those that are not in it are left alone.

        Their places stay taken until it is renewed, so that no search ends before its time.
        """
        buckets, _, entries = self._wanted(rows, self._store.take(rows, axis=0))
        searching = np.arange(len(rows))
        while len(searching):
            bucket = buckets[searching]
            found = np.flatnonzero(self._bucket(bucket) == entries[searching, None])
            which = found // _BUCKET
            self._places[bucket[which] * _BUCKET + found % _BUCKET] = _GONE
            on = self._filled[bucket] == _BUCKET
            on[which] = False
            searching = searching[on]
            buckets[searching] = (buckets[searching] + 1) % self._buckets

    def _bucket(self, buckets: Ints) -> _Places:
        """The places of so many buckets, shape (n, 8): whole rows of bytes gather fastest."""
        whole = self._places.view(f"V{_BUCKET * 4}")
        return whole[buckets].view(np.uint32).reshape(-1, _BUCKET)

    def _wanted(self, rows: Ints, keys: Words) -> tuple[Ints, _Places, _Places]:
        """The bucket that each row belongs into, its tag, and what stands in its place."""
        mixed = keys[:, 0] * self._salt
        buckets = (((mixed >> _HALF) * np.uint64(self._buckets)) >> _HALF).astype(np.int64)
        tags = (((mixed & _LOW) * np.uint64(_TAGS)) >> _HALF).astype(np.uint32)
        return buckets, tags, rows.astype(np.uint32) | (tags << np.uint32(ROW_BITS))

    def move(self, places: Ints, rows: Ints) -> None:
        """What stood at ``places`` is now in ``rows``."""
        tags = self._places[places] & ~_ROW
        self._places[places] = rows.astype(np.uint32) | tags


def _same(one: Words, other: Words) -> Bools:
    return np.asarray(
        (one[:, 0] == other[:, 0]) & ((one[:, 1] ^ other[:, 1]) >> _HALF == np.uint64(0))
    )

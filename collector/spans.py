"""Payloads side by side in one buffer, and the texts in them as places, never as objects.

Everything here works on all payloads at once. Texts that are known again become codes of a
vocabulary, which outlives a batch, so that a word is digested and judged once and not per event.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from analyzers.facts import Bools, Column, Ints, Words
from collector import digests
from collector.markers import is_marker
from collector.shapes import BETWEEN_BYTES

Letters = npt.NDArray[np.uint8]

# A word of the vocabulary has at most so many bytes; longer ones are read one by one.
WORD_BYTES: Final = 64
# Reading beyond the last payload must stay inside the buffer.
_PAD: Final = bytes(BETWEEN_BYTES)
_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_FIRST, _LAST = ord(" "), ord("~")  # of printable ASCII
# As many words as a busy batch has; four times as many leave the processor's cache.
_WORDS_MAX: Final = 1 << 15
_SLOTS_BITS: Final = 16
_NOWHERE: Final = -1
# Bytes of a word of eight that belong to a text, by how many are left of it.
_MASKS: Final = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)


class Block:
    """n payloads joined: ``starts`` and ``ends`` (n,) are their places in ``data``.

    ``clean`` (n,) tells which are printable ASCII without a backslash: in those a quotation mark
    always begins or ends a text, and they have at most ``most`` bytes. Mark k of payload i is
    ``quotes[first[i] + k]``, and payload i has ``counts[i]`` of them.
    """

    __slots__ = (
        "_views",
        "clean",
        "counts",
        "data",
        "ends",
        "first",
        "letters",
        "quotes",
        "starts",
    )

    def __init__(self, payloads: Sequence[bytes], most: int) -> None:
        self.data: bytes = b"".join([*payloads, _PAD])
        lengths = np.fromiter(map(len, payloads), np.int64, len(payloads))
        self.ends: Ints = np.cumsum(lengths)
        self.starts: Ints = self.ends - lengths
        self.letters: Letters = np.frombuffer(self.data, np.uint8)
        self._views: dict[int, npt.NDArray[np.bytes_]] = {}
        self.quotes: Ints = np.flatnonzero(self.letters == _QUOTE)
        edges = np.searchsorted(self.quotes, np.append(self.starts, len(self.data)))
        self.first: Ints = edges[:-1]
        self.counts: Ints = np.diff(edges)
        self.clean: Bools = self._clean() & (lengths <= most)

    def _clean(self) -> Bools:
        clean = np.ones(len(self.starts), np.bool_)
        letters = self.letters[: len(self.data) - len(_PAD)]
        if not len(letters):
            return np.zeros(len(self.starts), np.bool_)
        if letters.min() < _FIRST or letters.max() > _LAST or b"\\" in self.data:
            odd = (letters < _FIRST) | (letters > _LAST) | (letters == _BACKSLASH)
            rows = np.searchsorted(self.ends, np.flatnonzero(odd), side="right")
            clean[rows] = False
        return clean

    def gathered(self, begins: Ints, width: int) -> npt.NDArray[np.bytes_]:
        """``width`` bytes from each place on, as bytes of that length."""
        view = self._views.get(width)
        if view is None:
            size = len(self.data) - width + 1
            view = np.ndarray((size,), f"S{width}", self.data, strides=(1,))
            self._views[width] = view
        found: npt.NDArray[np.bytes_] = view[begins]
        return found

    def letters_of(self, begins: Ints, width: int) -> Letters:
        """``width`` bytes from each place on, shape (n, width)."""
        return self.gathered(begins, width).view(np.uint8).reshape(-1, width)

    def texts(self, begins: Ints, lengths: Ints) -> list[bytes]:
        """N texts of printable ASCII as objects."""
        high = int(lengths.max(initial=0))
        if high > WORD_BYTES:
            ends = (begins + lengths).tolist()
            data = self.data
            return [data[begin:end] for begin, end in zip(begins.tolist(), ends, strict=True)]
        width = (high + 7) // 8 * 8 or 8
        padded = np.stack([*_eights(self, begins, lengths, int(lengths.min(initial=0)), high)], 1)
        found: list[bytes] = padded.view(f"S{width}").ravel().tolist()  # without zeros at the end
        return found


class Vocabulary:
    """Words by code, for as long as they are few; code 0 is the empty word, then ``preset``.

    Exact: a text has the code of a word only if it is that word, byte for byte.
    """

    __slots__ = (
        "_count",
        "_index",
        "_lengths",
        "_preset",
        "_salts",
        "_slots",
        "_words",
        "digests",
        "markers",
        "texts",
    )

    def __init__(self, preset: Sequence[str]) -> None:
        self._preset = ("", *preset)
        # Unknown to senders, who could otherwise choose words that all fall into one place.
        self._salts = [np.uint64(secrets.randbits(64) | 1) for _ in range(WORD_BYTES // 8)]
        self.clear()

    def clear(self) -> None:
        """Forgets all words but the preset ones: no code given before means anything now."""
        self.texts: list[str] = []
        self._index: dict[bytes, int] = {}
        self._count = 0
        self._words = np.zeros((WORD_BYTES // 8, 256), np.uint64)
        self._lengths = np.full(256, _NOWHERE, np.int64)
        self.digests: Words = np.zeros(256, np.uint64)
        self.markers: Bools = np.zeros(256, np.bool_)
        self._slots = np.full(1 << _SLOTS_BITS, _NOWHERE, np.int32)
        self._enter([text.encode() for text in self._preset])

    @property
    def full(self) -> bool:
        """Whether it is time to ``clear``."""
        return len(self.texts) >= _WORDS_MAX

    def __len__(self) -> int:
        return len(self.texts)

    def code(self, text: bytes) -> int:
        """The code of one word."""
        if text not in self._index:
            self._enter([text])
        return self._index[text]

    def codes(self, block: Block, begins: Ints, lengths: Ints) -> Ints:
        """The codes of n texts of printable ASCII, at most ``WORD_BYTES`` long each."""
        if not len(begins):
            return np.empty(0, np.int64)
        low, high = int(lengths.min()), int(lengths.max())
        eights = [*_eights(block, begins, lengths, low, high)]
        if low == high and all((word == word[0]).all() for word in eights):
            text = block.data[begins[0] : begins[0] + low]
            return np.full(len(begins), self.code(text), np.int64)
        mixed = eights[0] * self._salts[0]
        for word, salt in zip(eights[1:], self._salts[1:], strict=False):
            mixed += (word * salt) ^ (mixed >> np.uint64(32))
        mixed ^= mixed >> np.uint64(29)
        slots = ((mixed * self._salts[0]) >> np.uint64(64 - _SLOTS_BITS)).view(np.int64)
        codes = self._slots.take(slots)
        same = self._lengths.take(codes) == lengths
        for place, word in enumerate(eights):
            same &= self._words[place].take(codes) == word
        if not same.all():
            rest = np.flatnonzero(~same)
            sized = zip(begins[rest].tolist(), lengths[rest].tolist(), strict=True)
            texts = [block.data[begin : begin + length] for begin, length in sized]
            new = [text for text in dict.fromkeys(texts) if text not in self._index]
            if new:
                self._enter(new)
            found = np.fromiter(map(self._index.__getitem__, texts), np.int64, len(texts))
            codes[rest] = found
            free = self._slots[slots[rest]] == _NOWHERE
            self._slots[slots[rest[free]]] = found[free]
        return codes.astype(np.int64)

    def _enter(self, texts: list[bytes]) -> None:
        begin, end = len(self.texts), len(self.texts) + len(texts)
        said = [text.decode("ascii") for text in texts]
        if end >= len(self._lengths):  # the last row stays free: it is what _NOWHERE looks at
            room = end * 2 + 256
            self._words = np.pad(self._words, ((0, 0), (0, room - len(self._lengths))))
            self.digests = np.pad(self.digests, (0, room - len(self._lengths)))
            self.markers = np.pad(self.markers, (0, room - len(self._lengths)))
            more = np.full(room - len(self._lengths), _NOWHERE, np.int64)
            self._lengths = np.concatenate([self._lengths, more])
        packed = b"".join(text.ljust(WORD_BYTES, b"\0") for text in texts)
        self._words[:, begin:end] = np.frombuffer(packed, "<u8").reshape(-1, WORD_BYTES // 8).T
        self._lengths[begin:end] = [len(text) for text in texts]
        self.digests[begin:end] = digests.words(said)
        self.markers[begin:end] = [is_marker(text) for text in said]
        self._index.update(zip(texts, range(begin, end), strict=True))
        self.texts += said

    def column(self, codes: Ints) -> Column:
        """The same words as a column of their own, in order of first appearance."""
        if not len(codes):
            return Column(codes, ())
        if codes[0] == codes[-1] and (codes == codes[0]).all():
            return Column(np.zeros(len(codes), np.int64), (self.texts[codes[0]],))
        first = np.full(len(self.texts), len(codes), np.int64)
        # Of several writes to one place the last stays, hence backwards.
        first[codes[::-1]] = np.arange(len(codes))[::-1]
        used = np.flatnonzero(first < len(codes))
        used = used[np.argsort(first[used])]
        places = np.empty(len(self.texts), np.int64)
        places[used] = np.arange(len(used))
        return Column(places.take(codes), tuple(self.texts[code] for code in used.tolist()))


def _eights(block: Block, begins: Ints, lengths: Ints, low: int, high: int) -> Iterator[Words]:
    """The texts in words of eight bytes, zeros after their end; lengths are ``low`` to ``high``."""
    width = max((high + 7) // 8, 1)
    words = block.gathered(begins, width * 8).view("<u8").reshape(-1, width)
    for place in range(width):
        left = lengths - 8 * place if low != high else np.int64(low - 8 * place)
        whole = low >= 8 * place + 8
        yield words[:, place] if whole else words[:, place] & _MASKS[np.clip(left, 0, 8)]

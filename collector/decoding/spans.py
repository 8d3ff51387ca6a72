"""Payloads side by side in one buffer, and the texts in them as places, never as objects.

Everything here works on all payloads at once. Texts that are known again become codes of a
vocabulary, which outlives a batch, so that a word is digested and judged once and not per event.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from analyzers.facts import Bools, Column, Ints, Words
from collector.decoding import digests
from collector.decoding.markers import is_marker
from collector.decoding.shapes import BETWEEN_BYTES

Letters = npt.NDArray[np.uint8]

# A word of the vocabulary has at most so many bytes; longer ones are read one by one.
WORD_BYTES: Final = 64
# Reading beyond the last payload, by what is the same in a shape and then a word, must stay inside
# the buffer.
_PAD: Final = bytes(BETWEEN_BYTES + WORD_BYTES)
_BACKSLASH: Final = ord("\\")
_FIRST, _LAST = ord(" "), ord("~")  # of printable ASCII
# As many words as a busy batch has; four times as many leave the processor's cache.
_WORDS_MAX: Final = 1 << 15
_SLOTS_BITS: Final = 16
_NOWHERE: Final = -1
_ONES: Final = np.uint64(0x0101_0101_0101_0101)
_TOPS: Final = np.uint64(0x8080_8080_8080_8080)
# Multiplied by 1 << 8 * n, it has n in its highest byte.
_BYTE_OF: Final = np.uint64(0x0001_0203_0405_0607)
_NONE, _ONE, _SEVEN, _FIFTY_SIX = (np.uint64(number) for number in (0, 1, 7, 56))


@dataclass(frozen=True, slots=True)
class Texts:
    """n texts of printable ASCII: ``lengths`` (n,), -1 for one that has no end where it was looked
    for; ``words`` hold eight bytes of each, zeros after its end; ``letters`` (n, width) go on."""

    lengths: Ints
    words: list[Words]
    letters: Letters

    def take(self, rows: Bools) -> Texts:
        """The same texts, only those of a mask."""
        words = [word[rows] for word in self.words]
        return Texts(self.lengths[rows], words, self.letters[rows])

    def listed(self, rows: Ints) -> list[bytes]:
        """Some of the texts as objects."""
        return listed([word[rows] for word in self.words])


def listed(words: list[Words]) -> list[bytes]:
    """Texts as objects, from eight bytes of each at a time."""
    padded = np.stack(words, 1).view(f"S{8 * len(words)}")
    found: list[bytes] = padded.ravel().tolist()  # which leaves out zeros at the end
    return found


class Block:
    """n payloads joined: ``starts`` and ``ends`` (n,) are their places in ``data``.

    ``clean`` (n,) tells which are printable ASCII without a backslash, of at most ``most`` bytes:
    in those a quotation mark always begins or ends a text.
    """

    __slots__ = ("_views", "clean", "data", "ends", "starts")

    def __init__(self, payloads: Sequence[bytes], most: int) -> None:
        self.data: bytes = b"".join([*payloads, _PAD])
        lengths = np.fromiter(map(len, payloads), np.int64, len(payloads))
        self.ends: Ints = np.cumsum(lengths)
        self.starts: Ints = self.ends - lengths
        self._views: dict[int, npt.NDArray[np.bytes_]] = {}
        self.clean: Bools = self._clean() & (lengths <= most)

    def _clean(self) -> Bools:
        clean = np.ones(len(self.starts), np.bool_)
        letters = np.frombuffer(self.data, np.uint8, len(self.data) - len(_PAD))
        if not len(letters):
            return np.zeros(len(self.starts), np.bool_)
        if letters.min() < _FIRST or letters.max() > _LAST or b"\\" in self.data:
            odd = (letters < _FIRST) | (letters > _LAST) | (letters == _BACKSLASH)
            rows = np.searchsorted(self.ends, np.flatnonzero(odd), side="right")
            clean[rows] = False
        return clean

    def within(self, places: Ints) -> Ints:
        """The places, or the end of the payloads for those beyond it."""
        return np.minimum(places, len(self.data) - len(_PAD))

    def gathered(self, begins: Ints, width: int) -> npt.NDArray[np.bytes_]:
        """``width`` bytes from each place on, as bytes of that length."""
        view = self._views.get(width)
        if view is None:
            size = len(self.data) - width + 1
            view = np.ndarray((size,), f"S{width}", self.data, strides=(1,))
            self._views[width] = view
        found: npt.NDArray[np.bytes_] = view[begins]
        return found

    def until(self, begins: Ints, mark: int, width: int) -> Texts:
        """What stands from each place on before the first ``mark``, looked for in ``width`` words.

        The mark is found in eight bytes at a time. Where x has a zero byte, and nowhere below it,
        ``(x - 0x01..01) & ~x & 0x80..80`` has the top bit of that byte.
        """
        raw = self.gathered(begins, width * 8)
        eights = raw.view("<u8").reshape(-1, width)
        zeroed = eights ^ (_ONES * np.uint64(mark))
        top = (zeroed - _ONES) & ~zeroed & _TOPS
        first = (top & np.negative(top)) >> _SEVEN  # 1 << 8 * byte, or 0
        kept = eights & (first - _ONE)
        place_in = ((first * _BYTE_OF) >> _FIFTY_SIX).view(np.int64)
        here = first != 0
        lengths = np.where(here[:, 0], place_in[:, 0], -1)
        words: list[Words] = [kept[:, 0]]
        for place in range(1, width):
            on = lengths < 0
            if not on.any():
                break
            words.append(np.where(on, kept[:, place], _NONE))
            lengths = np.where(on & here[:, place], place_in[:, place] + 8 * place, lengths)
        return Texts(lengths, words, raw.view(np.uint8).reshape(-1, width * 8))


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

    def codes(self, texts: Texts) -> Ints:
        """The code of each text, or the one code that all of them have."""
        eights, lengths = texts.words, texts.lengths
        if all((word == word[0]).all() for word in eights):
            return np.array([self.code(texts.listed(np.zeros(1, np.int64))[0])])
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
            said = texts.listed(rest)
            new = [text for text in dict.fromkeys(said) if text not in self._index]
            if new:
                self._enter(new)
            found = np.fromiter(map(self._index.__getitem__, said), np.int64, len(said))
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

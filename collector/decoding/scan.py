"""The ordinary events of a batch, read side by side: straight from bytes to columns.

Only what surely is a valid event is read here; everything else is left to be read by itself, so
that there is one judge of what is wrong with an input. What is read here comes out as it would
there, bit for bit: the tests compare both over mutated payloads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from analyzers.facts import OK, Bools, Column, Floats, Ints, Words
from collector.decoding import digests, numbers, times
from collector.decoding.fitting import Fit, Known, fitting
from collector.decoding.said import PRODUCTION
from collector.decoding.shapes import NAMES, WORDS, Hole
from collector.decoding.spans import Block, Texts, Vocabulary, listed

# Below so many payloads the fixed cost of array arithmetic, about as much as reading 600 of them
# one by one, is more than it saves.
ROWS_MIN: Final = 768
_TRACKS: Final = ("canary", "baseline")
_PRESET: Final = (*_TRACKS, OK, PRODUCTION)
_TRACK_END: Final = 1 + len(_TRACKS)  # codes of the words that a track may be
_FILLED: Final = frozenset({"type", "service", "environment", "outcome"})


@dataclass(frozen=True, slots=True)
class Scanned:
    """n valid events of a batch as columns; ``rows`` are their places in it, in order.

    ``ids`` and ``refs`` are as written, "" for none; ``attributes`` holds every name that occurs;
    ``attributes_content`` is a digest of all attributes of each event. ``rest`` are the places of
    the payloads that have to be read one by one.
    """

    rows: Ints
    rest: Ints
    words: dict[str, Column]
    digests: dict[str, Words]
    ids: list[bytes]
    refs: list[bytes]
    time_ns: Ints
    value: Floats
    synthetic: Bools
    attributes: dict[str, Column]
    attributes_content: Words


class _Memory(threading.local):
    """What is known of earlier batches. It makes reading faster and never changes a result."""

    def __init__(self) -> None:
        self.shapes: list[Known] = []
        self.vocabulary = Vocabulary(_PRESET)


_memory: Final = _Memory()


def scan(payloads: Sequence[bytes], *, value_end: float, most: int) -> Scanned:
    """The ordinary ones of a batch of payloads, of at most ``most`` bytes each.

    Values are below ``value_end``.
    """
    if _memory.vocabulary.full:
        _memory.vocabulary.clear()
    block = Block(payloads, most)
    table = _Table.of(len(payloads), _memory.vocabulary)
    for fit in fitting(block, _memory.shapes):
        filling = _Filling(table.vocabulary, fit, value_end)
        _fill(table, filling, fit)
        if fit.telling:
            fit.known.observe(filling.everywhere())
    return table.scanned()


@dataclass(slots=True)
class _Table:
    """The columns being filled; ``read`` tells for which payloads they are."""

    vocabulary: Vocabulary
    read: Bools
    codes: dict[str, Ints]
    names: dict[str, list[tuple[Ints, list[Words]]]]
    time_ns: Ints
    value: Floats
    synthetic: Bools
    attributes_content: Words
    attributes: dict[str, Ints] = field(default_factory=dict)

    @classmethod
    def of(cls, count: int, vocabulary: Vocabulary) -> _Table:
        """A table of so many payloads, none of them read."""
        absent = {"environment": _PRESET.index(PRODUCTION) + 1, "outcome": _PRESET.index(OK) + 1}
        return cls(
            vocabulary=vocabulary,
            read=np.zeros(count, np.bool_),
            codes={name: np.full(count, absent.get(name, 0), np.int64) for name in WORDS},
            names={name: [] for name in NAMES},
            time_ns=np.zeros(count, np.int64),
            value=np.full(count, np.nan),
            synthetic=np.zeros(count, np.bool_),
            attributes_content=np.zeros(count, np.uint64),
        )

    def scanned(self) -> Scanned:
        """The columns of what was read."""
        rows, rest = np.flatnonzero(self.read), np.flatnonzero(~self.read)
        part = slice(None) if not len(rest) else rows
        codes = {name: column[part] for name, column in self.codes.items()}
        vocabulary = self.vocabulary
        return Scanned(
            rows=rows,
            rest=rest,
            words={name: vocabulary.column(column) for name, column in codes.items()},
            digests={name: vocabulary.digests.take(column) for name, column in codes.items()},
            ids=self._listed("id", part),
            refs=self._listed("ref", part),
            time_ns=self.time_ns[part],
            value=self.value[part],
            synthetic=self.synthetic[part],
            attributes={
                name: vocabulary.column(self.attributes[name][part])
                for name in sorted(self.attributes)
            },
            attributes_content=self.attributes_content[part],
        )

    def _listed(self, name: str, part: Ints | slice) -> list[bytes]:
        parts = self.names[name]
        width = max((len(words) for _, words in parts), default=1)
        whole = np.zeros((width, len(self.read)), np.uint64)
        for rows, words in parts:
            for place, word in enumerate(words):
                whole[place, rows] = word
        return listed(list(whole[:, part]))


class _Filling:
    """The payloads of one shape on their way into the table: ``good`` are the surely valid ones."""

    def __init__(self, vocabulary: Vocabulary, fit: Fit, value_end: float) -> None:
        self.vocabulary = vocabulary
        self.value_end = value_end
        self.holes = fit.shape.holes
        self.good: Bools = np.ones(len(fit.rows), np.bool_)
        # Codes of n words, or of the one that all of them have.
        self.codes: dict[str, Ints] = {}
        self.attributes: dict[str, Ints] = {}
        self.names: dict[str, list[Words]] = {}
        self.time_ns: Ints = np.zeros(len(fit.rows), np.int64)
        self.value: Floats | None = None
        for hole, texts in zip(self.holes, fit.texts, strict=True):
            self.take(hole, texts)
        for hole, said in fit.shape.words:
            codes = self.attributes if hole.attribute else self.codes
            codes[hole.field] = np.array([self.vocabulary.code(said)])

    def everywhere(self) -> dict[int, bytes]:
        """The words that all of the payloads have in a hole, by its place; each can be used."""
        found: dict[int, bytes] = {}
        if not self.good.all():
            return found
        for hole in self.holes:
            codes = (self.attributes if hole.attribute else self.codes).get(hole.field)
            if codes is not None and hole.kind == "text" and (codes == codes[0]).all():
                found[hole.place] = self.vocabulary.texts[codes[0]].encode()
        return found

    def take(self, hole: Hole, texts: Texts) -> None:
        """Reads one hole of all payloads."""
        if hole.kind == "number":
            self._number(hole.field, texts)
        elif hole.attribute:
            self.attributes[hole.field] = self.vocabulary.codes(texts)
        elif hole.field in WORDS:
            self._word(hole.field, texts)
        elif hole.field == "time":
            self.time_ns, odd = times.parse_letters(
                texts.lengths, lambda rows, length: texts.letters[rows, :length]
            )
            self.good &= ~odd
        elif hole.field in NAMES:
            self.names[hole.field] = texts.words
            if hole.field == "id":
                self.good &= texts.lengths > 0

    def _number(self, name: str, texts: Texts) -> None:
        whole, real, is_whole, odd = numbers.parse(texts.letters, texts.lengths)
        self.good &= ~odd
        if name == "time":
            self.good &= is_whole & (whole >= times.FIRST_MS) & (whole < times.END_MS)
            self.time_ns = np.where(self.good, whole, 0) * times.NS_PER_MS
        elif name == "value":
            self.good &= np.abs(real) < self.value_end
            self.value = real

    def _word(self, name: str, texts: Texts) -> None:
        codes = self.codes[name] = self.vocabulary.codes(texts)
        if name in _FILLED:
            self.good &= texts.lengths > 0
        if name == "track":
            self.good &= codes < _TRACK_END
        if name == "type":
            self.good &= ~self.vocabulary.markers.take(codes)

    def content(self) -> Words:
        """A digest of the attributes of each payload, as ``Attributes.content`` gives it."""
        total = np.zeros(len(self.good), np.uint64)
        for name, codes in self.attributes.items():
            said = self.vocabulary.digests.take(codes)
            total += digests.columns([digests.words([name]), said])
        return total


def _fill(table: _Table, filling: _Filling, fit: Fit) -> None:
    """Puts the good ones of the payloads that have a shape into the table."""
    every = bool(filling.good.all())
    part = slice(None) if every else filling.good
    rows = fit.rows[part]
    if not len(rows):
        return
    table.read[rows] = True
    for name, codes in filling.codes.items():
        table.codes[name][rows] = codes[part] if len(codes) > 1 else codes
    for name, codes in filling.attributes.items():
        if name not in table.attributes:
            table.attributes[name] = np.zeros(len(table.read), np.int64)
        table.attributes[name][rows] = codes[part] if len(codes) > 1 else codes
    for name, words in filling.names.items():
        table.names[name].append((rows, [word[part] for word in words]))
    table.time_ns[rows] = filling.time_ns[part]
    if filling.value is not None:
        table.value[rows] = filling.value[part]
    if fit.shape.synthetic:
        table.synthetic[rows] = True
    table.attributes_content[rows] = filling.content()[part]

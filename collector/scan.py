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
from collector import digests, numbers, times
from collector.attributes import ATTRIBUTES, NAME_BYTES
from collector.said import PRODUCTION
from collector.shapes import NAMES, WORDS, Hole, Shape, learn
from collector.spans import WORD_BYTES, Block, Vocabulary
from collector.texts import TEXT_BYTES

# Below so many payloads the fixed cost of array arithmetic, some 0.3 ms, is more than it saves.
ROWS_MIN: Final = 256
# Likewise for one shape of several in a batch.
_ROWS_OF_SHAPE_MIN: Final = 48
# Every shape is tried on what no other one has taken. A producer that leaves out each of six
# fields at will has 64.
_SHAPES_MAX: Final = 64
_LEARNT_AT_ONCE: Final = 16
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
        self.shapes: list[Shape] = []
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
    for shape, rows, spans in _fitting(block, _memory.shapes):
        filling = _Filling(table, block, len(rows), value_end)
        for hole, begins, lengths in zip(shape.holes, spans.begins, spans.lengths, strict=True):
            filling.take(hole, begins, lengths)
        _fill(table, filling, shape, rows)
    return table.scanned(block)


@dataclass(frozen=True, slots=True)
class _Spans:
    """Where the holes of a shape are in n payloads: a pair of begins and lengths for each hole."""

    begins: list[Ints]
    lengths: list[Ints]


def _fitting(block: Block, shapes: list[Shape]) -> list[tuple[Shape, Ints, _Spans]]:
    """The payloads that fit a shape, with the places of its holes; new shapes are learnt."""
    found: list[tuple[Shape, Ints, _Spans]] = []
    free = block.clean.copy()
    open_counts = np.where(free, block.counts, -1)

    def take(shape: Shape) -> int:
        rows = np.flatnonzero(open_counts == shape.quotes)
        if len(rows) < _ROWS_OF_SHAPE_MIN:
            return 0
        fits, spans = _match(block, shape, rows)
        rows = rows[fits] if not fits.all() else rows
        if len(rows) < _ROWS_OF_SHAPE_MIN:
            return 0
        open_counts[rows] = -1
        found.append((shape, rows, spans))
        return len(rows)

    for shape in list(shapes):
        if not take(shape):
            continue
        shapes.remove(shape)  # in use: forgotten last
        shapes.insert(0, shape)
    for _ in range(_LEARNT_AT_ONCE):
        row = _frequent(open_counts)
        if row is None:
            break
        shape_or_none = learn(block.data[block.starts[row] : block.ends[row]])
        open_counts[row] = open_counts[row] if shape_or_none else -1
        if shape_or_none is not None:
            if not _usable(shape_or_none) or not take(shape_or_none):
                open_counts[row] = -1
                continue
            shapes.insert(0, shape_or_none)
            del shapes[_SHAPES_MAX:]
    return found


def _frequent(counts: Ints) -> int | None:
    """A payload with the number of marks that most of the open ones have."""
    open_rows = np.flatnonzero(counts >= 0)
    if len(open_rows) < _ROWS_OF_SHAPE_MIN:
        return None
    most = int(np.bincount(counts[open_rows]).argmax())
    return int(open_rows[np.flatnonzero(counts[open_rows] == most)[0]])


def _usable(shape: Shape) -> bool:
    names = shape.attributes
    return len(names) <= ATTRIBUTES and all(0 < len(name) <= NAME_BYTES for name in names)


def _match(block: Block, shape: Shape, rows: Ints) -> tuple[Bools, _Spans]:
    """Which of the payloads have the bytes of the shape between its holes; the holes of those."""
    first = block.first[rows]
    starts, ends = block.starts[rows], block.ends[rows]
    fits = np.ones(len(rows), np.bool_)
    begins: list[Ints] = []
    lengths: list[Ints] = []
    end = starts  # of what was looked at so far
    for place, between in enumerate(shape.between):
        size = len(between.said)
        if between.quote >= 0:
            begin = block.quotes.take(first + between.quote)
            if between.before:
                begin = begin - between.before
        else:
            begin = ends - size
        if place:
            begins.append(end)
            lengths.append(begin - end)
        else:
            fits &= begin == starts
        fits &= block.gathered(begin, size) == between.said
        end = begin + size
    fits &= end == ends
    if not fits.all():
        begins = [one[fits] for one in begins]
        lengths = [one[fits] for one in lengths]
    return fits, _Spans(begins, lengths)


@dataclass(slots=True)
class _Table:
    """The columns being filled; ``read`` tells for which payloads they are."""

    vocabulary: Vocabulary
    read: Bools
    codes: dict[str, Ints]
    names: dict[str, tuple[Ints, Ints]]
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
            names={name: (np.zeros(count, np.int64), np.zeros(count, np.int64)) for name in NAMES},
            time_ns=np.zeros(count, np.int64),
            value=np.full(count, np.nan),
            synthetic=np.zeros(count, np.bool_),
            attributes_content=np.zeros(count, np.uint64),
        )

    def scanned(self, block: Block) -> Scanned:
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
            ids=_texts(block, *(column[part] for column in self.names["id"])),
            refs=_texts(block, *(column[part] for column in self.names["ref"])),
            time_ns=self.time_ns[part],
            value=self.value[part],
            synthetic=self.synthetic[part],
            attributes={
                name: vocabulary.column(self.attributes[name][part])
                for name in sorted(self.attributes)
            },
            attributes_content=self.attributes_content[part],
        )


def _texts(block: Block, begins: Ints, lengths: Ints) -> list[bytes]:
    data = block.data
    ends = (begins + lengths).tolist()
    return [data[begin:end] for begin, end in zip(begins.tolist(), ends, strict=True)]


class _Filling:
    """The payloads of one shape on their way into the table: ``good`` are the surely valid ones."""

    def __init__(self, table: _Table, block: Block, count: int, value_end: float) -> None:
        self.block = block
        self.vocabulary = table.vocabulary
        self.value_end = value_end
        self.good: Bools = np.ones(count, np.bool_)
        self.codes: dict[str, Ints] = {}
        self.attributes: dict[str, Ints] = {}
        self.names: dict[str, tuple[Ints, Ints]] = {}
        self.time_ns: Ints = np.zeros(count, np.int64)
        self.value: Floats | None = None

    def take(self, hole: Hole, begins: Ints, lengths: Ints) -> None:
        """Reads one hole of all payloads."""
        if hole.kind == "number":
            self._number(hole.field, begins, lengths)
        elif hole.attribute:
            self.attributes[hole.field] = self._coded(begins, lengths)
        elif hole.field in WORDS:
            self._word(hole.field, begins, lengths)
        elif hole.field == "time":
            self.time_ns, odd = times.parse_letters(
                lengths, lambda rows, length: self.block.letters_of(begins[rows], length)
            )
            self.good &= ~odd
        elif hole.field in NAMES:
            self.names[hole.field] = (begins, lengths)
            self.good &= lengths <= TEXT_BYTES
            if hole.field == "id":
                self.good &= lengths > 0

    def _number(self, name: str, begins: Ints, lengths: Ints) -> None:
        letters = self.block.letters_of(begins, numbers.WIDTH)
        whole, real, is_whole, odd = numbers.parse(letters, lengths)
        self.good &= ~odd
        if name == "time":
            self.good &= is_whole & (whole >= times.FIRST_MS) & (whole < times.END_MS)
            self.time_ns = np.where(self.good, whole, 0) * times.NS_PER_MS
        elif name == "value":
            self.good &= np.abs(real) < self.value_end
            self.value = real

    def _word(self, name: str, begins: Ints, lengths: Ints) -> None:
        codes = self.codes[name] = self._coded(begins, lengths)
        if name in _FILLED:
            self.good &= lengths > 0
        if name == "track":
            self.good &= codes < _TRACK_END
        if name == "type":
            self.good &= ~self.vocabulary.markers.take(codes)

    def _coded(self, begins: Ints, lengths: Ints) -> Ints:
        if int(lengths.max()) > WORD_BYTES:
            self.good &= lengths <= WORD_BYTES
            lengths = np.minimum(lengths, WORD_BYTES)
        return self.vocabulary.codes(self.block, begins, lengths)

    def content(self) -> Words:
        """A digest of the attributes of each payload, as ``Attributes.content`` gives it."""
        total = np.zeros(len(self.good), np.uint64)
        for name, codes in self.attributes.items():
            said = self.vocabulary.digests.take(codes)
            total += digests.columns([digests.words([name]), said])
        return total


def _fill(table: _Table, filling: _Filling, shape: Shape, rows: Ints) -> None:
    """Puts the good ones of the payloads that have a shape into the table."""
    every = bool(filling.good.all())
    part = slice(None) if every else filling.good
    rows = rows[part]
    if not len(rows):
        return
    table.read[rows] = True
    for name, codes in filling.codes.items():
        table.codes[name][rows] = codes[part]
    for name, codes in filling.attributes.items():
        if name not in table.attributes:
            table.attributes[name] = np.zeros(len(table.read), np.int64)
        table.attributes[name][rows] = codes[part]
    for name, (begins, lengths) in filling.names.items():
        table.names[name][0][rows] = begins[part]
        table.names[name][1][rows] = lengths[part]
    table.time_ns[rows] = filling.time_ns[part]
    if filling.value is not None:
        table.value[rows] = filling.value[part]
    if shape.synthetic:
        table.synthetic[rows] = True
    table.attributes_content[rows] = filling.content()[part]

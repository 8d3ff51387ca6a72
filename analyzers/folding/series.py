"""What cells are about: series, and many of them as columns.

A hundred thousand series as Python tuples would cost more than everything that is counted in
them: a table keeps each distinct word once, and numbers. Series are made of it when asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias, overload

import numpy as np

from analyzers.facts import Bools, Ints
from analyzers.folding.grouping import grouped, mixed

Segment: TypeAlias = tuple[tuple[str, str], ...]


class Series(NamedTuple):
    """What a cell is about, apart from time. ``segment`` () is the total."""

    environment: str
    service: str
    version: str
    track: str
    metric: str
    segment: Segment


FIELDS: Final = len(Series._fields)
# The words of one field in ascending order: strings, and of the last field segments.
Dictionary: TypeAlias = tuple[Any, ...]


class SeriesTable(Sequence[Series]):
    """s distinct series in ascending order, as columns.

    ``codes`` int64 (6, s) point into ``words``, one ascending dictionary for each field.
    """

    __slots__ = ("codes", "words")

    def __init__(self, codes: Ints, words: tuple[Dictionary, ...]) -> None:
        self.codes = codes
        self.words = words

    def __len__(self) -> int:
        return len(self.codes[0])

    @overload
    def __getitem__(self, place: int) -> Series: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Series, ...]: ...

    def __getitem__(self, place: int | slice) -> Series | tuple[Series, ...]:
        if isinstance(place, slice):
            return tuple(SeriesTable(self.codes[:, place], self.words))
        codes = self.codes[:, place].tolist()
        return Series(*(words[code] for words, code in zip(self.words, codes, strict=True)))

    def __iter__(self) -> Iterator[Series]:
        columns = [
            map(words.__getitem__, codes)
            for words, codes in zip(self.words, self.codes.tolist(), strict=True)
        ]
        return map(Series._make, zip(*columns, strict=True))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SeriesTable | tuple):
            return NotImplemented
        return tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))

    def about(self, metrics: Collection[str], names: Sequence[str]) -> Ints:
        """The places of the series of some metrics in the segments of one attribute set."""
        *_, known, segments = self.words
        chosen = np.array([word in metrics for word in known], np.bool_)
        rows: Ints = np.flatnonzero(chosen[self.codes[4]])
        alike = np.zeros(len(segments), np.bool_)
        for code in np.unique(self.codes[5, rows]).tolist():
            alike[code] = [name for name, _ in segments[code]] == [*names]
        mine: Bools = alike[self.codes[5, rows]]
        return rows[mine]

    def picked(self, rows: Bools) -> SeriesTable:
        """The chosen series, without the words that no other one has."""
        codes, words = self.codes[:, rows], []
        kept = np.empty_like(codes)
        for field, known in enumerate(self.words):
            found = grouped(codes[field], len(known))
            words.append(tuple(known[code] for code in found.keys.tolist()))
            kept[field] = found.of
        return SeriesTable(kept, tuple(words))


def no_series() -> SeriesTable:
    """No series at all."""
    return SeriesTable(np.empty((FIELDS, 0), np.int64), ((),) * FIELDS)


def coded(series: Iterable[Series]) -> SeriesTable:
    """The series as a table, in the order given.

    >>> coded([Series("production", "order-api", "2", "", "success", ())])[0].version
    '2'
    """
    if isinstance(series, SeriesTable):
        return series
    columns = list(zip(*series, strict=True))
    if not columns:
        return no_series()
    words = tuple(tuple(sorted(set(column))) for column in columns)
    codes = np.array([
        [place[word] for word in column]
        for column, place in zip(columns, map(_places, words), strict=True)
    ], np.int64)  # fmt: skip
    return SeriesTable(codes, words)


def union(tables: Sequence[SeriesTable]) -> tuple[SeriesTable, list[Ints]]:
    """All series of some tables, each once and in ascending order; and for each table the place
    of each of its series among them."""
    merged = [_merged([table.words[field] for table in tables]) for field in range(FIELDS)]
    codes = [
        np.concatenate([to[table.codes[field]] for to, table in zip(maps, tables, strict=True)])
        for field, (_, maps) in enumerate(merged)
    ]
    keys = mixed(codes, [max(len(words), 1) for words, _ in merged])
    found = grouped(keys.key, keys.end)
    ends = np.cumsum([len(table) for table in tables])
    table = SeriesTable(np.stack(keys.codes(found.keys)), tuple(words for words, _ in merged))
    return table, np.split(found.of, ends[:-1])


def beyond(table: SeriesTable, known: SeriesTable) -> Bools:
    """Mask of the series of ``table`` that are not among the ``known`` ones.

    >>> one, two = (coded([Series("production", "a", v, "", "success", ())]) for v in "12")
    >>> beyond(two, one).tolist(), beyond(one, union([two, one])[0]).tolist()
    ([True], [False])
    """
    everything, (ours, theirs) = union([table, known])
    fresh = np.ones(len(everything), np.bool_)
    fresh[theirs] = False
    return np.asarray(fresh[ours])


def _merged(dictionaries: Sequence[Dictionary]) -> tuple[Dictionary, list[Ints]]:
    """The words of all dictionaries in order, and for each one the places of its words there."""
    first = dictionaries[0]
    if all(words is first or words == first for words in dictionaries):
        return first, [np.arange(len(first))] * len(dictionaries)
    # Each is sorted already: sorting their chain is a merge of runs, one comparison a word.
    place = _places(sorted(chain(*dictionaries)))
    maps = [
        np.fromiter(map(place.__getitem__, words), np.int64, len(words)) for words in dictionaries
    ]
    return tuple(place), maps


def _places(ordered: Iterable[Any]) -> dict[Any, int]:
    """Each distinct word's place in an ascending iterable."""
    return {word: place for place, word in enumerate(dict.fromkeys(ordered))}

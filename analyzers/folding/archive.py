"""Sealed cells, kept in memory as small as they go, and given back bit for bit.

Slices that have closed are asked for again only when a release opens or is judged anew, and there
are ever more of them: integers are kept as offsets in as few bytes as those need, a fifth of what
cells take that are being counted. Where there are too many for all of them to be kept slice by
slice, the oldest are kept by the hour, then by the day; the checkpoint has them as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from analyzers.facts import SLICE_S
from analyzers.folding.cells import Cells, merge
from analyzers.folding.moments import Wide
from analyzers.folding.series import SeriesTable, coded

_KINDS: Final = (np.uint8, np.uint16, np.uint32)
_COLUMNS: Final = ("of", "slice", "shown", "count", "failures",
                   "bin_of", "bin_slice", "bin_shown", "bin", "bin_count")  # fmt: skip
# Neighbouring parts become one up to so many rows of cells and buckets: a part of a million takes
# some 15 MB, and 100 MB for the moment in which it is looked at.
ROWS_MAX: Final = 1_000_000
# Some 60 MB. A quarter of it is an hour of ten thousand keys that all have something in every
# slice; a distributor with a few hundred keys keeps every slice of its whole retention.
ROWS_KEPT: Final = 4_000_000
HOUR: Final = 3_600 // SLICE_S
DAY: Final = 24 * HOUR


@dataclass(frozen=True, slots=True)
class _Narrow:
    """An integer array as offsets from ``low``; one offset stands for many if all are equal."""

    offsets: npt.NDArray[Any]
    low: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def wide(self) -> npt.NDArray[Any]:
        """The array as it was."""
        values = np.empty(self.shape, self.dtype)
        values[...] = self.offsets
        values += self.dtype.type(self.low)
        return values


def _narrow(values: npt.NDArray[Any]) -> _Narrow:
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low == high:
        return _Narrow(np.zeros(1, np.uint8), low, values.shape, values.dtype)
    for kind in _KINDS:
        if high - low <= np.iinfo(kind).max:
            offsets = (values - values.dtype.type(low)).astype(kind)
            return _Narrow(offsets, low, values.shape, values.dtype)
    return _Narrow(values.copy(), 0, values.shape, values.dtype)


@dataclass(frozen=True, slots=True)
class _Part:
    """Cells as narrow columns; ``rows`` counts cells and buckets. They are shown from ``since`` on
    and before ``until``, in slices of which ``width`` have become one."""

    series: _Narrow
    words: tuple[tuple[Any, ...], ...]
    columns: tuple[_Narrow, ...]
    sums: tuple[_Narrow, ...]
    rows: int
    since: int
    until: int
    width: int = 1

    def cells(self) -> Cells:
        """The cells as they were."""
        hi, lo, square_hi, square_lo = (column.wide() for column in self.sums)
        columns: dict[str, Any] = {
            name: column.wide() for name, column in zip(_COLUMNS, self.columns, strict=True)
        }
        return Cells(
            SeriesTable(self.series.wide(), self.words),
            sum=Wide(hi, lo),
            square=Wide(square_hi, square_lo),
            **columns,
        )

    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(one.offsets.nbytes for one in (self.series, *self.columns, *self.sums))


def _part(cells: Cells, width: int = 1) -> _Part:
    table = coded(cells.series)
    sums = (cells.sum.hi, cells.sum.lo, cells.square.hi, cells.square.lo)
    return _Part(
        series=_narrow(table.codes),
        words=table.words,
        columns=tuple(_narrow(getattr(cells, name)) for name in _COLUMNS),
        sums=tuple(map(_narrow, sums)),
        rows=len(cells) + len(cells.bin),
        since=int(cells.shown.min()),
        until=int(cells.shown.max()) + 1,
        width=width,
    )


def _coarse(cells: Cells, width: int) -> Cells:
    """The cells with every slice put to the first of the ``width`` slices around it."""
    slices = {
        name: getattr(cells, name) // width * width
        for name in ("slice", "shown", "bin_slice", "bin_shown")
    }
    return merge([replace(cells, **slices)])


class Archive:
    """Sealed cells, oldest first. Each iteration gives them in parts, all of a part shown before
    all of the next; no part is kept unpacked."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Iterable[Cells] = ()) -> None:
        self._parts: list[_Part] = []
        for cells in parts:
            self.add(cells)

    def __iter__(self) -> Iterator[Cells]:
        return (part.cells() for part in self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def rows(self) -> int:
        """How many cells and buckets there are."""
        return sum(part.rows for part in self._parts)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that are kept."""
        return sum(part.nbytes() for part in self._parts)

    def add(self, cells: Cells) -> None:
        """Takes in cells that are shown after all that are here.

        A part that is no larger than the one after it is merged with it, so that each row is
        merged about log2(``ROWS_MAX``) times at most and never again in a full part.
        """
        if not len(cells):
            return
        new = cells
        rows = len(new) + len(new.bin)
        while (
            self._parts
            and self._parts[-1].width == 1
            and self._parts[-1].rows <= rows <= ROWS_MAX - self._parts[-1].rows
        ):
            new = merge([self._parts.pop().cells(), new])
            rows = len(new) + len(new.bin)
        self._parts.append(_part(new))

    def forget(self, before: int) -> None:
        """Drops what was shown before a slice."""
        while self._parts and self._parts[0].until <= before:
            del self._parts[0]
        if not self._parts:
            return
        first = self._parts[0]
        old, rest = first.cells().split(before)
        if len(old):
            self._parts[0] = _part(merge([rest]), first.width)

    def keep(self, *, since: int, rows: int = ROWS_KEPT) -> None:
        """Drops what was shown before a slice, an hour of it at a time; makes the oldest of the
        rest coarser until there are at most ``rows``, or nothing is left to be made coarser."""
        if self._parts and self._parts[0].since + HOUR <= since:
            self.forget(since)
        for width in (HOUR, DAY):
            while self.rows > rows and self._coarsen(width):
                continue

    def _coarsen(self, width: int) -> bool:
        """Makes the oldest part that is finer than ``width`` as coarse as that; whether there was
        one beside the newest part, which is always kept as it is."""
        finer = (i for i, part in enumerate(self._parts[:-1]) if part.width < width)
        place = next(finer, None)
        if place is None:
            return False
        cells, begin = _coarse(self._parts[place].cells(), width), place
        before = self._parts[place - 1] if place else None
        if before and before.width == width and before.rows + len(cells) <= ROWS_MAX:
            cells, begin = merge([before.cells(), cells]), place - 1
        self._parts[begin : place + 1] = [_part(cells, width)]
        return True

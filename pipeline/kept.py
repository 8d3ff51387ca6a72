"""Cells and waiting questions as the bytes that a checkpoint keeps, and back, bit for bit.

Integers are kept as offsets from the least of them, in as few bytes as those need; the checkpoint
compresses and checks them. Nothing here knows what they mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from analyzers.facts import Column, Facts, Ints
from analyzers.folding import answers
from analyzers.folding.answers import Waiting
from analyzers.folding.cells import Cells, Series, merge
from analyzers.folding.moments import Wide
from analyzers.folding.series import FIELDS, SeriesTable, coded
from analyzers.policy import Policy

# Raised whenever the meaning of the bytes changes. Format 1, which named every series in full and
# kept every integer in eight bytes, is still read; what is newer is refused with a reason.
FORMAT: Final = 2
_FIRST_FORMAT: Final = 1


class KeptError(ValueError):
    """Kept bytes that cannot be read as cells: written by another version."""


class _Array(msgspec.Struct, frozen=True, array_like=True):
    """An array of ``dtype``. If ``kept`` names a smaller one, ``data`` are offsets from ``low`` in
    that; if it says ``constant``, every value is ``low``."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes
    kept: str = ""
    low: int = 0


class _Column(msgspec.Struct, frozen=True, array_like=True):
    codes: _Array
    words: tuple[str, ...]


_Segment = tuple[tuple[str, str], ...]


class _Table(msgspec.Struct, frozen=True, array_like=True):
    """Series as columns: codes (6, s), and the words of each field."""

    codes: tuple[_Array, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    segments: tuple[_Segment, ...] = ()


class _Part(msgspec.Struct, frozen=True):
    """One turn's cells and newly waiting questions and answers. ``series`` is of format 1, and
    ``table`` takes its place from format 2 on."""

    format: int
    cells: dict[str, _Array]
    asked: dict[str, _Array]
    words: dict[str, _Column]
    attributes: dict[str, _Column]
    answer: _Array
    answer_ns: _Array
    series: tuple[tuple[str, str, str, str, str, _Segment], ...] = ()
    table: _Table = _Table()


_CONSTANT: Final = "constant"
# Equal values take no bytes, so that nothing else says how many there may be: as many as a body of
# the largest size could hold of the smallest others.
_CONSTANT_MAX: Final = 256 << 20
_NARROW: Final = ("<u1", "<u2", "<u4")
_DTYPES: Final = frozenset({"<i8", "<u8", "<f8", "<i4", "<u4", "<i2", "<u2", "|i1", "|u1", "|b1"})
_CELLS: Final = ("of", "slice", "shown", "count", "failures",
                 "bin_of", "bin_slice", "bin_shown", "bin", "bin_count")  # fmt: skip
_WIDE: Final = ("sum", "square")
_decoder: Final = msgspec.msgpack.Decoder(_Part)


def encode(cells: Cells, waiting: Waiting) -> bytes:
    """Both as bytes; empty if neither holds anything."""
    if not len(cells) and not len(waiting):
        return b""
    columns = {name: _array(getattr(cells, name)) for name in _CELLS}
    for name in _WIDE:
        wide: Wide = getattr(cells, name)
        columns |= {f"{name}.hi": _array(wide.hi), f"{name}.lo": _array(wide.lo)}
    asked, words = {}, {}
    for field in fields(Facts):
        value = getattr(waiting.asked, field.name)
        if isinstance(value, Column):
            words[field.name] = _column(value)
        elif isinstance(value, np.ndarray):
            asked[field.name] = _array(value)
    table = coded(cells.series)
    *named, segments = table.words
    return msgspec.msgpack.encode(
        _Part(
            format=FORMAT,
            cells=columns,
            asked=asked,
            words=words,
            attributes={n: _column(c) for n, c in waiting.asked.attributes.items()},
            answer=_array(waiting.answer),
            answer_ns=_array(waiting.answer_ns),
            table=_Table(tuple(map(_array, table.codes)), tuple(named), segments),
        )
    )


def decode(body: bytes) -> tuple[Cells, Waiting]:
    """What ``encode`` was given; KeptError if these are other bytes."""
    try:
        part = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KeptError(f"the kept cells cannot be read: {error}") from error
    if not _FIRST_FORMAT <= part.format <= FORMAT:
        raise KeptError(
            f"the kept cells have format {part.format}, this plimsoll reads {FORMAT}: "
            "use the version that wrote them, or choose another --state directory"
        )
    try:
        return _cells(part), _waiting(part)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise KeptError(f"the kept cells cannot be read: {error!r}") from error


def _cells(part: _Part) -> Cells:
    columns: dict[str, Any] = {name: _from(part.cells[name]) for name in _CELLS}
    for name in _WIDE:
        columns[name] = Wide(hi=_from(part.cells[f"{name}.hi"]), lo=_from(part.cells[f"{name}.lo"]))
    series = _series(part)
    _within(columns["of"], len(series))
    _within(columns["bin_of"], len(series))
    return Cells(series=series, **columns)


def _series(part: _Part) -> SeriesTable:
    if part.format == _FIRST_FORMAT:
        return coded(Series(*one) for one in part.series)
    words = (*part.table.words, part.table.segments)
    codes = np.stack([_from(array) for array in part.table.codes])
    if len(words) != FIELDS or len(codes) != FIELDS:
        raise ValueError(f"series of {len(codes)} fields, not {FIELDS}")
    for known, column in zip(words, codes, strict=True):
        _within(column, len(known))
    return SeriesTable(codes, words)


def _within(codes: Ints, end: int) -> None:
    if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < end:
        raise ValueError(f"a number beyond the {end} words or series that are kept")


def _waiting(part: _Part) -> Waiting:
    facts: dict[str, Any] = {name: _from(array) for name, array in part.asked.items()}
    facts |= {name: _from_column(column) for name, column in part.words.items()}
    facts["attributes"] = {name: _from_column(one) for name, one in part.attributes.items()}
    return Waiting(Facts(**facts), _from(part.answer), _from(part.answer_ns))


def merged(bodies: Sequence[bytes], policy: Policy, *, settled_ns: int, oldest_slice: int) -> bytes:
    """One body in the place of many: cells added up, without what nothing will ask for again
    (questions settled by ``settled_ns``, cells shown before ``oldest_slice``)."""
    parts = [decode(body) for body in bodies]
    cells = merge([cells for cells, _ in parts]).split(oldest_slice)[1]
    waiting = answers.join([waiting for _, waiting in parts])
    return encode(cells, answers.forget(waiting, policy, until_ns=settled_ns))


def _array(values: npt.NDArray[Any]) -> _Array:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    dtype, shape = little.dtype.str, little.shape
    if little.dtype.kind not in "iu" or not little.size:
        return _Array(dtype, shape, little.tobytes())
    low, high = int(little.min()), int(little.max())
    if low == high:
        return _Array(dtype, shape, b"", _CONSTANT, low)
    for kept in _NARROW:
        if high - low <= np.iinfo(kept).max:
            offsets = little if low == 0 else little - little.dtype.type(low)
            return _Array(dtype, shape, offsets.astype(kept).tobytes(), kept, low)
    return _Array(dtype, shape, little.tobytes())


def _from(array: _Array) -> npt.NDArray[Any]:
    if array.dtype not in _DTYPES:  # NumPy would read a whole language here
        raise ValueError(f"values kept as {array.dtype!r}")
    if not array.kept:
        return np.frombuffer(array.data, array.dtype).reshape(array.shape)
    dtype = np.dtype(array.dtype)
    if array.kept == _CONSTANT:
        if math.prod(array.shape) > _CONSTANT_MAX:
            raise ValueError(f"{array.shape} equal values, more than {_CONSTANT_MAX}")
        return np.full(array.shape, array.low, dtype)
    if array.kept not in _NARROW:
        raise ValueError(f"integers kept as {array.kept!r}")
    values = np.frombuffer(array.data, array.kept).reshape(array.shape).astype(dtype)
    values += dtype.type(array.low)
    return values


def _column(column: Column) -> _Column:
    return _Column(_array(column.codes), column.words)


def _from_column(column: _Column) -> Column:
    codes = _from(column.codes)
    _within(codes, len(column.words))
    return Column(codes, column.words)

"""Cells and waiting questions as the bytes that a checkpoint keeps, and back, bit for bit.

Arrays are kept as little-endian integers under the names of their fields; the checkpoint
compresses and checks them. Nothing here knows what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from analyzers import answers
from analyzers.answers import Waiting
from analyzers.cells import Cells, Series, merge
from analyzers.facts import Column, Facts
from analyzers.moments import Wide
from analyzers.policy import Policy

# Raised whenever the meaning of the bytes changes; an older state is then refused with a reason.
FORMAT: Final = 1


class KeptError(ValueError):
    """Kept bytes that cannot be read as cells: written by another version."""


class _Array(msgspec.Struct, frozen=True, array_like=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes


class _Column(msgspec.Struct, frozen=True, array_like=True):
    codes: _Array
    words: tuple[str, ...]


class _Part(msgspec.Struct, frozen=True):
    """One turn's cells and newly waiting questions and answers."""

    format: int
    series: tuple[tuple[str, str, str, str, str, tuple[tuple[str, str], ...]], ...]
    cells: dict[str, _Array]
    asked: dict[str, _Array]
    words: dict[str, _Column]
    attributes: dict[str, _Column]
    answer: _Array
    answer_ns: _Array


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
    return msgspec.msgpack.encode(
        _Part(
            format=FORMAT,
            series=tuple(cells.series),
            cells=columns,
            asked=asked,
            words=words,
            attributes={n: _column(c) for n, c in waiting.asked.attributes.items()},
            answer=_array(waiting.answer),
            answer_ns=_array(waiting.answer_ns),
        )
    )


def decode(body: bytes) -> tuple[Cells, Waiting]:
    """What ``encode`` was given; KeptError if these are other bytes."""
    try:
        part = _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise KeptError(f"the kept cells cannot be read: {error}") from error
    if part.format != FORMAT:
        raise KeptError(
            f"the kept cells have format {part.format}, this plimsoll reads {FORMAT}: "
            "use the version that wrote them, or choose another --state directory"
        )
    try:
        return _cells(part), _waiting(part)
    except (KeyError, TypeError, ValueError) as error:
        raise KeptError(f"the kept cells cannot be read: {error!r}") from error


def _cells(part: _Part) -> Cells:
    columns: dict[str, Any] = {name: _from(part.cells[name]) for name in _CELLS}
    for name in _WIDE:
        columns[name] = Wide(hi=_from(part.cells[f"{name}.hi"]), lo=_from(part.cells[f"{name}.lo"]))
    return Cells(series=tuple(Series(*one) for one in part.series), **columns)


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
    return _Array(little.dtype.str, little.shape, little.tobytes())


def _from(array: _Array) -> npt.NDArray[Any]:
    return np.frombuffer(array.data, array.dtype).reshape(array.shape)


def _column(column: Column) -> _Column:
    return _Column(_array(column.codes), column.words)


def _from_column(column: _Column) -> Column:
    return Column(_from(column.codes), column.words)

"""One field of an event from one message: expressions made into functions, once for all messages.

Every function gives a value that ``decode`` takes, None where there is none, or raises
``UnmappedError`` with what is wrong, in words. A mapping that could never give one is refused when
the functions are made.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from collector.decoding.faults import kind, quote
from collector.decoding.texts import TEXT_BYTES, fault_of
from collector.mapping.paths import Context, Read, as_text, reader
from collector.mapping.terms import (
    NUMBER_END,
    PATH_CHARS,
    TABLE_ROWS,
    Constant,
    Elapsed,
    Expression,
    Joined,
    Kind,
    MappingError,
    Path,
    Scalar,
    Taken,
)
from collector.mapping.times import time_reader, written

Give: TypeAlias = Callable[[Any, Context], Any]

# A character is at most four bytes of UTF-8.
_SURE_CHARACTERS: Final = TEXT_BYTES // 4
_LONGEST_NUMBER: Final = 40
_WHOLE: Final = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)
TRACKS: Final = ("canary", "baseline")
_RUNBOOK_BYTES: Final = 2_048
# 1.234,56 where the comma is the decimal sign and 1,234.56 where the point is; SAP writes the
# minus behind.
_PLAIN: Final = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d{1,3}))?(-?)", re.ASCII)
_GROUPED: Final = {
    ".": re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?-?", re.ASCII),
    ",": re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d*)?-?", re.ASCII),
}


class UnmappedError(Exception):
    """A message that has no value for a field, or a wrong one; ``of`` is that part of the
    mapping, such as ``attributes.partner``."""

    def __init__(self, what: str, of: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.of = of

    def inside(self, name: str) -> UnmappedError:
        """The same, from one part further outside."""
        return UnmappedError(self.what, f"{name}.{self.of}" if self.of else name)


def give(name: str, kind_of_field: Kind, expression: Expression) -> Give:
    """The function that gives a field; MappingError where that could never work."""
    if len(expression.table) > TABLE_ROWS:
        raise MappingError(f"a table has at most {TABLE_ROWS} rows, not {len(expression.table)}")
    makers = {
        Kind.TEXT: _text,
        Kind.NUMBER: _number,
        Kind.TIME: _time,
        Kind.FLAG: _flag,
    }
    default = _checked(name, kind_of_field, expression.default)
    if isinstance(expression.source, Constant):
        value = _checked(name, kind_of_field, expression.source.value)
        return lambda _, __: value
    table = {word: _checked(name, kind_of_field, value) for word, value in expression.table}
    otherwise = _checked(name, kind_of_field, expression.otherwise)
    if table:
        return _translated(expression, table, otherwise, default)
    made = makers[kind_of_field](name, expression, default)
    return _side(made, _shown(expression)) if name == "track" else made


def _checked(name: str, kind_of_field: Kind, value: Scalar | None) -> Any:
    """A value that stands in the mapping itself, as the event may have it."""
    if value is None:
        return None
    if kind_of_field is Kind.TEXT:
        text = as_text(value) or ""
        if name == "track" and text not in TRACKS:
            raise MappingError(f"{quote(text)} is neither canary nor baseline")
        most = _RUNBOOK_BYTES if name == "runbook" else TEXT_BYTES
        fault = fault_of(name, text, most=most)
        if fault is not None or not text:
            raise MappingError(fault.what if fault else f"a text of {name} is empty")
        return text
    if kind_of_field is Kind.NUMBER:
        if isinstance(value, bool | str) or not abs(value) < NUMBER_END:
            raise MappingError(f"{quote(value)} is no number for {name}")
        return value
    if kind_of_field is Kind.FLAG:
        if not isinstance(value, bool):
            raise MappingError(f"{quote(value)} is neither true nor false")
        return value
    found = time_reader(Expression(source=Taken(())))(value, None)
    if isinstance(found, str):
        raise MappingError(found)
    return written(found)


def taken(expression: Expression) -> Read:
    """The function that gives the raw value which an expression starts from."""
    match expression.source:
        case Taken(paths):
            return _first(paths)
        case Joined():
            return _joined(expression.source)
        case Constant(value):
            return _fixed(value)
        case Elapsed(begin, end):
            return _elapsed(begin, end)


def _fixed(value: Any) -> Read:
    return lambda _, __: value


def _first(paths: tuple[Path, ...]) -> Read:
    if not paths:
        raise MappingError("an expression needs at least one path")
    reads = [reader(path) for path in paths]
    if len(reads) == 1:
        return reads[0]

    def read(row: Any, context: Context) -> Any:
        for one in reads:
            value = one(row, context)
            if value is not None and value != "":
                return value
        return None

    return read


def _joined(source: Joined) -> Read:
    """Texts put together. What is constant is put in once, so only paths cost anything."""
    reads = [(part.text, reader(part)) for part in source.parts if isinstance(part, Path)]
    template = source.between.replace("%", "%%").join(
        (as_text(part.value) or "").replace("%", "%%") if isinstance(part, Constant) else "%s"
        for part in source.parts
    )

    def read(row: Any, context: Context) -> Any:
        words = []
        for name, one in reads:
            value = one(row, context)
            if type(value) is not str:
                if value is None:
                    return None
                value = _word(name, value)
            elif not value:
                return None
            words.append(value)
        return template % tuple(words)

    return read


def _word(name: str, value: Any) -> str:
    text = as_text(value)
    if text is None:
        raise UnmappedError(f"field {name}: {kind(value)} is no text")
    return text


def _elapsed(begin: Expression, end: Expression) -> Read:
    first, last = _nanoseconds(begin), _nanoseconds(end)

    def read(row: Any, context: Context) -> Any:
        from_ns, to_ns = first(row, context), last(row, context)
        return None if from_ns is None or to_ns is None else (to_ns - from_ns) / 1e9

    return read


def _nanoseconds(expression: Expression) -> Give:
    take, read, shown = taken(expression), time_reader(expression), _shown(expression)

    def nanoseconds(row: Any, context: Context) -> Any:
        value = take(row, context)
        if value is None or value == "":
            return None
        found = read(value, context.message.time_ms)
        if type(found) is str:
            raise UnmappedError(f"field {shown}: {found}")
        return found

    return nanoseconds


def _text(name: str, expression: Expression, default: Any) -> Give:
    take, shown = taken(expression), _shown(expression)
    most = _RUNBOOK_BYTES if name == "runbook" else TEXT_BYTES

    def text(row: Any, context: Context) -> Any:
        value = take(row, context)
        if type(value) is not str:
            if value is None:
                return default
            value = _word(shown, value)
        if len(value) <= _SURE_CHARACTERS and value.isprintable():
            return value or default
        fault = fault_of(name, value, most=most)
        if fault is not None:
            raise UnmappedError(fault.what.replace(f"field {name}", f"field {shown}", 1))
        return value

    return text


def _side(give_text: Give, shown: str) -> Give:
    def side(row: Any, context: Context) -> Any:
        found = give_text(row, context)
        if found is None or found in TRACKS:
            return found
        raise UnmappedError(f"field {shown}: {quote(found)} is neither canary nor baseline")

    return side


def _translated(
    expression: Expression, table: dict[str, Any], otherwise: Any, default: Any
) -> Give:
    take, shown = taken(expression), _shown(expression)
    numbers = {int(word): value for word, value in table.items() if _WHOLE.fullmatch(word)}

    def translated(row: Any, context: Context) -> Any:
        value = take(row, context)
        kind_of_value = type(value)
        if kind_of_value is str:
            found = table.get(value)
        elif kind_of_value is int:
            found = numbers.get(value)
        elif value is None:
            return default
        else:
            value = _word(shown, value)
            found = table.get(value)
        if found is not None:
            return found
        if value == "":
            return default
        if otherwise is not None:
            return otherwise
        raise UnmappedError(f"field {shown}: {quote(value)} is not in the table")

    return translated


def _number(name: str, expression: Expression, default: Any) -> Give:
    take, shown = taken(expression), _shown(expression)
    scale, offset, decimal = expression.scale, expression.offset, expression.decimal
    if not (math.isfinite(scale) and math.isfinite(offset)):
        raise MappingError("scale and offset are finite numbers")
    # Dividing by a thousand is exact where multiplying by a thousandth is not.
    divisor = round(1 / scale) if 0 < scale < 1 else 0
    divided = divisor > 0 and 1 / divisor == scale

    def number(row: Any, context: Context) -> Any:
        value = take(row, context)
        if type(value) is not float and type(value) is not int:
            if value is None or value == "":
                return default
            value = _parsed(shown, value, decimal)
        try:
            value = (value / divisor if divided else value * scale) + offset
        except OverflowError:
            value = math.inf
        if -NUMBER_END < value < NUMBER_END:
            return value
        raise UnmappedError(f"field {shown}: {quote(value)} is beyond what a {name} may be")

    return number


def _parsed(shown: str, value: Any, decimal: str) -> float:
    if not isinstance(value, str):
        raise UnmappedError(f"field {shown}: {kind(value)} is not a number")
    text = value.strip()
    if len(text) <= _LONGEST_NUMBER:
        group = "," if decimal == "." else "."
        if _GROUPED[decimal].fullmatch(text):
            text = text.replace(group, "")
        match = _PLAIN.fullmatch(text if decimal == "." else _pointed(text))
        if match is not None and not (match[1] and match[4]):
            return float(f"{match[1] or match[4]}{match[2]}e{match[3] or 0}")
    comma = "; is `decimal: ','` meant?" if "," in value and decimal == "." else ""
    raise UnmappedError(f"field {shown}: {quote(value)} is not a number{comma}")


def _pointed(text: str) -> str:
    """A text with a decimal comma as one with a point; what has a point already is no number."""
    return "" if "." in text else text.replace(",", ".")


def _time(_: str, expression: Expression, default: Any) -> Give:
    read = _nanoseconds(expression)

    def time(row: Any, context: Context) -> Any:
        found = read(row, context)
        return default if found is None else written(found)

    return time


def _flag(_: str, expression: Expression, default: Any) -> Give:
    take, shown = taken(expression), _shown(expression)
    words = {"true": True, "false": False}

    def flag(row: Any, context: Context) -> Any:
        value = take(row, context)
        if value is None or value == "":
            return default
        found = value if type(value) is bool else words.get(as_text(value) or "")
        if found is None:
            raise UnmappedError(f"field {shown}: {quote(value)} is neither true nor false")
        return found

    return flag


def _shown(expression: Expression) -> str:
    """The field of the message that a fault names."""
    text = " + ".join(path.text for path in expression.paths())
    return text if len(text) <= PATH_CHARS else f"{text[:60]}..."

"""What stands at a path of a message: paths made into functions, once for all messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, assert_never

from collector.mapping.terms import Condition, Path, Root
from collector.source import Message

# Longer integers have no use as a text, and writing them out takes the square of their length.
_LONGEST_INTEGER: Final = 10**30
_EXACT: Final = 2.0**53


@dataclass(slots=True)
class Context:
    """What a row belongs to: the message, what it says as a whole, and the place of the row."""

    message: Message
    root: Any
    index: int


# Gives what stands there, None where nothing does. The row is an object or whatever stands in a
# list of them; it is `Any` because JSON is.
Read: TypeAlias = Callable[[Any, Context], Any]
Holds: TypeAlias = Callable[[Any, Context], bool]


def reader(path: Path) -> Read:
    """The function that reads a path."""
    root = path.root
    if root is Root.ROW:
        return _inside(path.steps)
    if root is Root.MESSAGE:
        whole = _inside(path.steps)
        return lambda _, context: whole(context.root, context)
    if root is Root.HEADER:
        return _header(path.steps[0])
    return _OF_MESSAGE[root]


_OF_MESSAGE: Final[Mapping[Root, Read]] = {
    Root.INDEX: lambda _, context: context.index,
    Root.PLACE: lambda _, context: context.message.place,
    Root.TIMESTAMP: lambda _, context: context.message.time_ms,
    Root.TOPIC: lambda _, context: of_place(context.message.place)[0],
    Root.PARTITION: lambda _, context: of_place(context.message.place)[1],
    Root.OFFSET: lambda _, context: of_place(context.message.place)[2],
}


def of_place(place: str) -> tuple[str, str, str]:
    """Topic, partition and offset of a place; what it does not tell is empty. What tells a topic
    from one of the same name that was deleted is no part of its name.

    >>> of_place("orders~97a05a6c/3@1201")
    ('orders', '3', '1201')
    """
    begin, _, offset = place.rpartition("@")
    topic, _, partition = begin.rpartition("/")
    return topic.partition("~")[0], partition, offset


def _inside(steps: Sequence[str]) -> Read:
    """The way into an object, with the two lengths that nearly all paths have unrolled."""
    walk = _walk(steps)
    if len(steps) == 1:
        (only,) = steps

        def read_one(row: Any, context: Context) -> Any:
            return row.get(only) if type(row) is dict else walk(row, context)

        return read_one
    if len(steps) == 2:
        first, second = steps
        rest = _walk(steps[1:])

        def read_two(row: Any, context: Context) -> Any:
            if type(row) is not dict:
                return walk(row, context)
            inner = row.get(first)
            return inner.get(second) if type(inner) is dict else rest(inner, context)

        return read_two
    return walk


def _walk(steps: Sequence[str]) -> Read:
    ways = [(step, _index(step)) for step in steps]

    def read(row: Any, _: Context) -> Any:
        for name, index in ways:
            if type(row) is dict:
                row = row.get(name)
            elif type(row) is list and index is not None:
                row = row[index] if -len(row) <= index < len(row) else None
            else:
                return None
        return row

    return read


def _index(step: str) -> int | None:
    digits = step.removeprefix("-")
    return int(step) if digits.isascii() and digits.isdigit() and len(digits) <= 9 else None


def _header(name: str) -> Read:
    def read(_: Any, context: Context) -> Any:
        found = context.message.headers.get(name)
        return None if found is None else found.decode(errors="replace")

    return read


def as_text(value: Any) -> str | None:
    """A JSON value as text, None for null, an object, an array or what is no number.

    >>> as_text(10.0), as_text(True), as_text(None)
    ('10', 'true', None)
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if -_LONGEST_INTEGER < value < _LONGEST_INTEGER else None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)
    return None


def all_hold(conditions: Sequence[Condition]) -> Holds | None:
    """Whether all conditions hold of a row; None if there are none."""
    tests = [_test(condition) for condition in conditions]
    if len(tests) <= 1:
        return tests[0] if tests else None

    def hold(row: Any, context: Context) -> bool:
        return all(test(row, context) for test in tests)

    return hold


def _test(condition: Condition) -> Holds:
    read = reader(condition.path)
    words = frozenset(condition.words)
    match condition.test:
        case "in":

            def is_in(row: Any, context: Context) -> bool:
                value = read(row, context)
                return (value if type(value) is str else as_text(value)) in words

            return is_in
        case "not_in":
            return lambda row, context: _text(read(row, context)) not in words
        case "exists":
            return lambda row, context: read(row, context) is not None
        case "absent":
            return lambda row, context: read(row, context) is None
        case "prefix":
            begins = condition.words
            return lambda row, context: (_text(read(row, context)) or "").startswith(begins)
    assert_never(condition.test)


def _text(value: Any) -> str | None:
    return value if type(value) is str else as_text(value)

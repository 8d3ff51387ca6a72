"""What a mapping says, as frozen values: which path of a message becomes which field of our event.

Only values and their rules live here. Configuration builds them, ``mapping`` makes a ``Form`` of
them; nothing here reads a message, and nothing heavy is imported.

    MappingError    a mapping that cannot be used; says which part of it, and the remedy
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

# An ERP order has seven levels; every step of a path is paid for in every message.
PATH_STEPS: Final = 16
PATH_CHARS: Final = 500
# A table of all partners of a large distributor. Larger ones are master data, not a mapping.
TABLE_ROWS: Final = 5_000
JOINED_PARTS: Final = 16
CHOICES: Final = 16  # paths of which the first that is there is taken
CONDITIONS: Final = 32
MAPPINGS: Final = 100  # of one source
ATTRIBUTES: Final = 32  # as an event may have
# Lines of a large order; one message must not become an unbounded batch.
ROWS: Final = 5_000
TEXT_BYTES: Final = 256  # of a text in an event
NUMBER_END: Final = 2**53 * 1e-6  # of a value in an event


class MappingError(Exception):
    """A mapping that cannot be used."""


class Kind(StrEnum):
    """What a field of our event holds."""

    TEXT = "text"
    TIME = "time"
    NUMBER = "number"
    FLAG = "flag"


EVENT_FIELDS: Final = MappingProxyType(
    {
        "id": Kind.TEXT,
        "time": Kind.TIME,
        "type": Kind.TEXT,
        "service": Kind.TEXT,
        "environment": Kind.TEXT,
        "version": Kind.TEXT,
        "track": Kind.TEXT,
        "outcome": Kind.TEXT,
        "value": Kind.NUMBER,
        "subject": Kind.TEXT,
        "ref": Kind.TEXT,
        "synthetic": Kind.FLAG,
    }
)
MARKER_FIELDS: Final = MappingProxyType(
    {
        "deployment": Kind.TEXT,
        "replaces": Kind.TEXT,
        "strategy": Kind.TEXT,
        "share": Kind.NUMBER,
        "owner": Kind.TEXT,
        "runbook": Kind.TEXT,
    }
)
FIELDS: Final = MappingProxyType({**EVENT_FIELDS, **MARKER_FIELDS})
# Without these there is no event; an absent id is made from the place of the message.
REQUIRED: Final = ("time", "type", "service")

Scalar: TypeAlias = str | float | bool


class Root(StrEnum):
    """Where a path begins."""

    ROW = ""  # the message, or with `each` the element of its list
    MESSAGE = "$message"
    HEADER = "$header"
    INDEX = "$index"
    PLACE = "$place"
    TOPIC = "$topic"
    PARTITION = "$partition"
    OFFSET = "$offset"
    TIMESTAMP = "$timestamp"


_STEPPED: Final = (Root.ROW, Root.MESSAGE)
_STEP: Final = re.compile(r'"((?:[^"\\]|\\["\\])+)"|([^."\s][^."]*)')


@dataclass(frozen=True, slots=True)
class Path:
    """A place in a message: where it begins, and the names or list indexes that lead on."""

    root: Root
    steps: tuple[str, ...]
    text: str


def path(text: str) -> Path:
    """The place that a dotted path names; MappingError if it is none.

    >>> path('order.items.0."sku.no"').steps
    ('order', 'items', '0', 'sku.no')
    >>> path("$header.tenant").root.value
    '$header'
    """
    if not text or len(text) > PATH_CHARS:
        raise MappingError(f"a path has 1 to {PATH_CHARS} characters")
    word, dot, rest = text.partition(".")
    if not word.startswith("$"):
        return Path(Root.ROW, _steps(text), text)
    root = next((root for root in Root if root and root == word), None)
    if root is None:
        known = ", ".join(root for root in Root if root)
        raise MappingError(f'{word} is none of {known}; quote a name that begins with $: "{word}"')
    if root is Root.HEADER:  # names of headers may have dots
        if not rest:
            raise MappingError("$header needs the name of a header: $header.tenant")
        return Path(root, (rest,), text)
    if dot and root not in _STEPPED:
        raise MappingError(f"{word} has nothing inside it: drop what follows")
    return Path(root, _steps(rest) if dot else (), text)


def _steps(text: str) -> tuple[str, ...]:
    steps: list[str] = []
    at = 0
    while True:
        match = _STEP.match(text, at)
        if match is None:
            raise MappingError('a path is names with dots between them; quote odd ones: a."b.c".d')
        quoted, plain = match.groups()
        steps.append(plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        at = match.end()
        if len(steps) > PATH_STEPS:
            raise MappingError(f"a path has at most {PATH_STEPS} steps")
        if at == len(text):
            return tuple(steps)
        if text[at] != ".":
            raise MappingError('a path is names with dots between them; quote odd ones: a."b.c".d')
        at += 1


@dataclass(frozen=True, slots=True)
class Constant:
    """The same for every message."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class Taken:
    """What stands at the first of some paths where anything stands."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """Texts put together; absent as soon as one of them is."""

    parts: tuple[Path | Constant, ...]
    between: str = "-"


@dataclass(frozen=True, slots=True)
class Elapsed:
    """The seconds from one time to another, each read by its own rules."""

    begin: Expression
    end: Expression


TimeFormat: TypeAlias = Literal[
    "", "iso", "local", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns"
]  # fmt: skip
# The hour that a clock shows twice when summer time ends. `nearest` is the reading nearer to the
# time of the message itself, the earlier one where it has none.
Ambiguous: TypeAlias = Literal["nearest", "earlier", "later", "refuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """How one field is made: where it comes from, and what is done to it on the way.

    ``default`` stands for what is absent, as it is; all else is for what is there. ``table`` maps
    texts, ``otherwise`` what it does not name (None: that is refused). A number is read with its
    ``decimal`` sign, multiplied by ``scale`` and raised by ``offset``. A time is read by its
    ``format`` (empty: as in our own events); ``zone`` is that of times without one.
    """

    source: Constant | Taken | Joined | Elapsed
    table: tuple[tuple[str, Scalar], ...] = ()
    otherwise: Scalar | None = None
    scale: float = 1.0
    offset: float = 0.0
    decimal: Literal[".", ","] = "."
    format: TimeFormat = ""
    zone: str = ""
    ambiguous: Ambiguous = "nearest"
    default: Scalar | None = None

    def paths(self) -> Iterator[Path]:
        """Every path that is read."""
        match self.source:
            case Taken(paths):
                yield from paths
            case Joined(parts):
                yield from (part for part in parts if isinstance(part, Path))
            case Elapsed(begin, end):
                yield from begin.paths()
                yield from end.paths()
            case Constant():
                pass


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of a message. Values are compared as texts: 10 and "10" are the same."""

    path: Path
    test: Literal["in", "not_in", "exists", "absent", "prefix"]
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventMapping:
    """How one kind of message becomes an event, or a marker where its type is one.

    ``name`` is what faults call it. ``each`` is the list of which every element is an event.
    ``id_from`` says what makes the id: its own field, the place of the message or its content.
    ``cohort`` are attributes of a marker, each one text or a list of them.
    """

    name: str
    fields: tuple[tuple[str, Expression], ...]
    attributes: tuple[tuple[str, Expression], ...] = ()
    cohort: tuple[tuple[str, Path], ...] = ()
    where: tuple[Condition, ...] = ()
    each: Path | None = None
    id_from: Literal["field", "place", "content"] = "place"

    def paths(self) -> Iterator[Path]:
        """Every path that is read, those of an element still beginning at it."""
        for _, expression in (*self.fields, *self.attributes):
            yield from expression.paths()
        yield from (path for _, path in self.cohort)
        yield from (condition.path for condition in self.where)

    def types(self) -> frozenset[str]:
        """The event types that are written in it; what a message says is not known here."""
        made = dict(self.fields).get("type")
        if made is None:
            return frozenset()
        written = [made.otherwise, made.default, *(value for _, value in made.table)]
        if isinstance(made.source, Constant):
            written.append(made.source.value)
        markers = "deployment."
        return frozenset(
            word for word in written if isinstance(word, str) and not word.startswith(markers)
        )


@dataclass(frozen=True, slots=True)
class Mapped:
    """All mappings of one source. A message, or an element of its list, becomes the event of the
    first mapping whose conditions hold; with ``every``, of every such mapping."""

    mappings: tuple[EventMapping, ...]
    every: bool = False

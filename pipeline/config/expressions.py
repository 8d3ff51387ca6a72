"""How one field of an event is taken from a foreign message, as a configuration writes it.

The keys of an expression and of a condition, turned into the values of
``collector.mapping.terms``. What an expression means when messages come is said there.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeVar

from collector.mapping.terms import (
    CHOICES,
    JOINED_PARTS,
    NUMBER_END,
    TABLE_ROWS,
    TEXT_BYTES,
    Ambiguous,
    Constant,
    Elapsed,
    Expression,
    Joined,
    Kind,
    MappingError,
    Path,
    Scalar,
    Taken,
    TimeFormat,
    path,
)
from pipeline.config.document import Fields, Items, Unreadable
from pipeline.config.document import Scalar as Text
from pipeline.config.faults import joined
from pipeline.config.fields import (
    Key,
    Place,
    Reader,
    Section,
    choice,
    flag,
    number,
    section,
    several,
    text,
)

T = TypeVar("T")

UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3_600.0,
    "d": 86_400.0,
    "percent": 0.01,
}
_FORMATS: Final[dict[str, TimeFormat]] = {
    "iso": "iso",
    "local": "local",
    "epoch_s": "epoch_s",
    "epoch_ms": "epoch_ms",
    "epoch_us": "epoch_us",
    "epoch_ns": "epoch_ns",
}
_AMBIGUOUS: Final[dict[str, Ambiguous]] = {
    "nearest": "nearest",
    "earlier": "earlier",
    "later": "later",
    "refuse": "refuse",
}
_DECIMALS: Final[dict[str, Literal[".", ","]]] = {".": ".", ",": ","}
_PATH_FORM: Final = "a path such as order.header.no"
_LARGEST: Final = NUMBER_END * (1 - 1e-15)


def _read_path(place: Place) -> Path | None:
    node = place.node
    if not isinstance(node, Text) or node.empty:
        if not isinstance(node, Unreadable):
            place.fault(f"must be {_PATH_FORM}, not {place.found()}")
        return None
    try:
        return path(node.text)
    except MappingError as error:
        place.fault(f"is no path: {error}")
        return None


PATH: Final = Reader(_PATH_FORM, _read_path)


def _as_it_is(place: Place) -> Place | None:
    return place


def _read_part(place: Place) -> Path | Constant | None:
    """A part of a joined text: a path, or a constant."""
    if not isinstance(place.node, Fields):
        return _read_path(place)
    here = section(place, (CONSTANT,))
    found = None if here is None else CONSTANT.of(here)
    value = None if found is None else _TEXT.read(found)
    if here is not None and not here.has(CONSTANT) and not here.entries:
        place.fault("must be a path or `{constant: ...}`")
    return None if value is None else Constant(value)


_PART: Final[Reader[Path | Constant]] = Reader("a path or `{constant: x}`", _read_part)
_TEXT: Final = text(TEXT_BYTES)
_LONG_TEXT: Final = text(2_000)
_NUMBER: Final = number(-_LARGEST, _LARGEST)
_SHARE: Final = number(0, 1)
_FLAG: Final = flag()
_TRACK: Final = choice({"canary": "canary", "baseline": "baseline"})

FROM: Final = Key(
    "from",
    several(PATH, most=CHOICES, form="a path or a list of them"),
    "",
    "Where the value stands; of several paths, the first where anything stands.",
)
CONSTANT: Final = Key(
    "constant", Reader("a value", _as_it_is), "", "The same value for every message."
)
JOIN: Final = Key(
    "join",
    several(
        _PART,
        most=JOINED_PARTS,
        form="a list of paths and of `{constant: x}`",
    ),
    "",
    "Texts put together; there is none as soon as one of them is absent.",
)
WITH: Final = Key(
    "with",
    Reader("a text of at most 20 characters, also an empty one", _as_it_is),
    "`-`",
    "What stands between joined texts.",
)
SECONDS_BETWEEN: Final = Key(
    "seconds_between",
    Reader("a list of two times, the earlier one first", _as_it_is),
    "",
    "The seconds from one time to another; each is a path, or an expression of its own.",
)
TABLE: Final = Key(
    "table",
    Reader("a mapping of values of the message to values of the event", _as_it_is),
    "none",
    "Translates a value; what it does not name is refused, or becomes `otherwise`.",
)
OTHERWISE: Final = Key(
    "otherwise",
    Reader("a value", _as_it_is),
    "none",
    "What the `table` gives for all it names not.",
)
DEFAULT: Final = Key(
    "default", Reader("a value", _as_it_is), "none", "The value, as it is, where nothing stands."
)
UNIT: Final = Key(
    "unit",
    choice(UNITS),
    "as it is",
    "The unit of a number in the message: times become seconds, `percent` a share.",
)
SCALE: Final = Key("scale", _NUMBER, "1", "What a number is multiplied by.")
OFFSET: Final = Key("offset", _NUMBER, "0", "What is added to a number after that.")
DECIMAL: Final = Key(
    "decimal",
    choice(_DECIMALS),
    "`.`",
    "The decimal sign of a number that is written as text; the other sign groups thousands.",
)
FORMAT: Final = Key(
    "format",
    choice(_FORMATS),
    "as in our own events",
    "How a time is written. `local` (with `zone`) is 2026-05-21 10:00:00, 20260521100000 or "
    "21.05.2026 10:00:00.",
)
ZONE: Final = Key(
    "zone",
    text(64, form="a time zone such as Europe/Berlin"),
    "none",
    "The zone of times that name none. A local time that does not exist there is refused.",
)
AMBIGUOUS: Final = Key(
    "ambiguous",
    choice(_AMBIGUOUS),
    "nearest",
    "Which one is meant when the clock shows a time twice; `nearest` to the message's own time, "
    "the earlier one where it has none.",
)
EXPRESSION_KEYS: Final[tuple[Key[Any], ...]] = (
    FROM, CONSTANT, JOIN, WITH, SECONDS_BETWEEN, TABLE, OTHERWISE, DEFAULT, UNIT, SCALE, OFFSET,
    DECIMAL, FORMAT, ZONE, AMBIGUOUS,
)  # fmt: skip
_SOURCES: Final = (FROM, CONSTANT, JOIN, SECONDS_BETWEEN)
_ONLY: Final[tuple[tuple[tuple[Key[Any], ...], tuple[Kind, ...]], ...]] = (
    ((UNIT, SCALE, OFFSET, DECIMAL), (Kind.NUMBER,)),
    ((FORMAT, ZONE, AMBIGUOUS), (Kind.TIME, Kind.NUMBER)),
    ((SECONDS_BETWEEN,), (Kind.NUMBER,)),
    ((TABLE, OTHERWISE), (Kind.TEXT, Kind.NUMBER, Kind.FLAG)),
)


def expression(place: Place, kind: Kind, name: str = "") -> Expression | None:
    """The expression at a place for a field of a kind; a plain text there is a path."""
    if isinstance(place.node, Text):
        found = _read_path(place)
        return None if found is None else Expression(source=Taken((found,)))
    if isinstance(place.node, Items):
        place.fault("is a list: of several paths the first that is there is `{from: [a, b]}`")
        return None
    here = section(place, EXPRESSION_KEYS)
    if here is None or not _is_whole(here, kind):
        return None
    source = _source(here, kind, name)
    table, otherwise = _table(here, kind, name), _value(OTHERWISE, here, kind, name)
    default = _value(DEFAULT, here, kind, name)
    scale = SCALE.of(here)
    unit = UNIT.of(here)
    if name == "share":
        _check_share(here, scale, OFFSET.of(here) or 0.0)
    if source is None or table is None:
        return None
    return Expression(
        source=source,
        table=table,
        otherwise=otherwise,
        default=default,
        scale=(1.0 if scale is None else scale) if unit is None else unit,
        offset=OFFSET.of(here) or 0.0,
        decimal=DECIMAL.of(here) or ".",
        format=FORMAT.of(here) or "",
        zone=ZONE.of(here) or "",
        ambiguous=AMBIGUOUS.of(here) or "nearest",
    )


def _check_share(here: Section, scale: float | None, offset: float) -> None:
    """Faults of a share of the traffic that what stands in a message, which is never below zero,
    cannot bring into 0 to 1; one minus the share is `{scale: -1, offset: 1}`."""
    if here.has(UNIT) and UNIT.of(here) not in (None, UNITS["percent"]):
        here.fault(UNIT, "is of times, and this is a share of the traffic: write percent, or none")
    if scale == 0:
        here.fault(SCALE, "makes every share the same: write {constant: ...} for a fixed one")
    elif scale is not None and scale < 0 and offset <= 0:
        here.fault(SCALE, f"{scale:g} leaves no share from 0 to 1: it must be above 0")
    elif offset > 1 and (scale is None or scale > 0):
        here.fault(OFFSET, f"{offset:g} leaves no share from 0 to 1: it must be at most 1")


def _is_whole(here: Section, kind: Kind) -> bool:
    """Whether the keys of an expression go together; what does not is reported."""
    before = here.place.faults.reports
    given = [key for key in _SOURCES if here.has(key)]
    if len(given) != 1:
        names = ", ".join(f"`{key.name}`" for key in _SOURCES)
        here.place.fault(f"needs one of {names}")
        return False
    for keys, kinds in _ONLY:
        for key in filter(here.has, keys if kind not in kinds else ()):
            here.fault(key, f"means nothing for a {kind.value}: drop it")
    for key, other, says in _APART:
        if here.has(key) and here.has(other):
            here.fault(key, says)
    for key, other, says in _TOGETHER:
        if here.has(key) and not here.has(other):
            here.fault(key, says)
    if kind is Kind.NUMBER and not here.has(SECONDS_BETWEEN):
        for key in filter(here.has, _TIMED):
            here.fault(key, "is for times: a number has it only with seconds_between")
    if FORMAT.of(here) == "local" and not here.has(ZONE):
        here.fault(FORMAT, "is local: say where in `zone: Europe/Berlin`")
    return here.place.faults.reports == before


_TIMED: Final[tuple[Key[Any], ...]] = (FORMAT, ZONE, AMBIGUOUS)
_NOT_CONSTANT: Final[tuple[Key[Any], ...]] = (
    TABLE, DEFAULT, UNIT, SCALE, OFFSET, DECIMAL, *_TIMED,
)  # fmt: skip
_APART: Final[tuple[tuple[Key[Any], Key[Any], str], ...]] = (
    (SCALE, UNIT, "says the same as unit: keep one of the two"),
    *((key, CONSTANT, "means nothing for a constant: drop it") for key in _NOT_CONSTANT),
)
_TOGETHER: Final[tuple[tuple[Key[Any], Key[Any], str], ...]] = (
    (WITH, JOIN, "means nothing without join: drop it"),
    (OTHERWISE, TABLE, "means nothing without table; what is absent has a `default`"),
)


def _source(here: Section, kind: Kind, name: str) -> Constant | Taken | Joined | Elapsed | None:
    if here.has(CONSTANT):
        constant = _value(CONSTANT, here, kind, name)
        return None if constant is None else Constant(constant)
    if here.has(JOIN):
        parts = JOIN.of(here)
        between = _between(here)
        return None if parts is None or between is None else Joined(parts, between)
    if here.has(SECONDS_BETWEEN):
        return _elapsed(here)
    paths = FROM.of(here)
    return Taken(paths) if paths else None


def _between(here: Section) -> str | None:
    place = here.at(WITH)
    if place is None or isinstance(place.node, Unreadable):
        return "-"
    found = place.node.text if isinstance(place.node, Text) else None
    if found is not None and len(found) <= 20 and (not found or found.isprintable()):
        return found
    place.fault(f"must be {WITH.reader.form}, not {place.found()}")
    return None


def _elapsed(here: Section) -> Elapsed | None:
    place = SECONDS_BETWEEN.of(here)
    places = () if place is None else place.elements()
    if place is None or not isinstance(place.node, Items) or len(places) != 2:
        here.fault(SECONDS_BETWEEN, f"must be {SECONDS_BETWEEN.reader.form}")
        return None
    common = {
        "format": FORMAT.of(here) or "",
        "zone": ZONE.of(here) or "",
        "ambiguous": AMBIGUOUS.of(here) or "nearest",
    }
    times = []
    for one in places:
        found = expression(one, Kind.TIME)
        if found is None:
            return None
        if isinstance(one.node, Text):  # a bare path is read as the whole expression says
            found = Expression(source=found.source, **common)  # type: ignore[arg-type]
        times.append(found)
    return Elapsed(times[0], times[1])


def _table(here: Section, kind: Kind, name: str) -> tuple[tuple[str, Scalar], ...] | None:
    place = TABLE.of(here)
    if place is None:
        return ()
    if not isinstance(place.node, Fields):
        place.fault(f"must be {TABLE.reader.form}, not {place.found()}")
        return None
    entries = place.node.entries
    if not 0 < len(entries) <= TABLE_ROWS:
        place.fault(f"has {len(entries)} rows: a table has 1 to {TABLE_ROWS}")
    rows = [
        (word, value)
        for word, node in entries.items()
        if (value := _scalar(Place(node, joined(place.path, word), place.faults), kind, name))
        is not None
    ]
    return tuple(rows) if 0 < len(rows) == len(entries) <= TABLE_ROWS else None


def _value(key: Key[Place], here: Section, kind: Kind, name: str) -> Scalar | None:
    place = key.of(here)
    return None if place is None else _scalar(place, kind, name)


def _scalar(place: Place, kind: Kind, name: str) -> Scalar | None:
    """A value that stands in the configuration itself, as the field may have it."""
    found: Scalar | None
    if kind is Kind.NUMBER:
        found = (_SHARE if name == "share" else _NUMBER).read(place)
    elif kind is Kind.FLAG:
        found = _FLAG.read(place)
    else:
        found = {"track": _TRACK, "runbook": _LONG_TEXT}.get(name, _TEXT).read(place)
    if kind is Kind.TIME and isinstance(found, str) and found.isascii() and found.isdigit():
        return int(found[:18])
    return found

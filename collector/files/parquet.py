"""Rows of a Parquet file as payloads: each row the JSON object that its columns say.

Writing JSON and reading it again costs some microseconds a row, and keeps ``decode`` the one judge
of what a valid event is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from collector.decoding.said import Said

MAGIC: Final = b"PAR1"
PREFIX: Final = "attributes."

_ROWS: Final = 8_192
_REQUIRED: Final = ("id", "time", "type", "service")
_OF_MARKERS: Final = (
    "deployment", "replaces", "strategy", "share", "cohort", "owner", "runbook",
)  # fmt: skip
_KNOWN: Final = frozenset({*Said.__struct_fields__, *_OF_MARKERS})
_encode: Final = msgspec.json.Encoder().encode


class ParquetError(Exception):
    """A Parquet file that cannot be used, or not from here on; the message says why."""


def payloads(path: Path, *, told: Callable[[float], None]) -> Iterator[list[bytes]]:
    """The rows of the file, some thousand at a time; ``told`` hears the share that is done.

    Raises ParquetError before the first rows if it is no Parquet file of events, and later where
    it is damaged.
    """
    # Loaded here: it takes 0.2 s and 43 MB, and most streams are no Parquet.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as file:
            columns = _columns(file.schema_arrow.names)
            done, total = 0, max(file.metadata.num_rows, 1)
            for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
                lists = {name: _values(batch.column(name), name) for name in columns}
                yield _rows(lists)
                done += batch.num_rows
                told(done / total)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ParquetError(f"it cannot be read as Parquet ({_first_line(error)})") from error


def _columns(names: Sequence[str]) -> list[str]:
    known = [name for name in names if name in _KNOWN or name.startswith(PREFIX)]
    missing = [name for name in _REQUIRED if name not in known]
    if missing:
        raise ParquetError(
            f"it has no column {' and no column '.join(missing)}; name its columns as the fields "
            "of an event, attributes as attributes.NAME"
        )
    if len(set(known)) < len(known):
        raise ParquetError("two of its columns have the same name; rename one of them")
    return known


def _values(column: Any, name: str) -> list[Any]:
    """The values of one column, as JSON can hold them; None where there is none."""
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import types as is_type  # noqa: PLC0415

    kind = column.type
    if is_type.is_timestamp(kind) and kind.tz is not None:
        column = column.cast(pa.timestamp(kind.unit, "UTC"))
    if is_type.is_decimal(kind):
        column = column.cast(pa.float64())
    elif not (is_type.is_nested(kind) or is_type.is_primitive(kind)) or is_type.is_temporal(kind):
        column = column.cast(pa.string())
    values: list[Any] = column.to_pylist()
    if is_type.is_timestamp(kind):
        # Without a zone it stays without one, and is refused for that reason.
        return [value and value.replace(" ", "T") for value in values]
    if is_type.is_map(kind):
        values = [value if value is None else dict(value) for value in values]
    if name == "attributes":
        return [_present(value) if isinstance(value, dict) else value for value in values]
    return [_number(value) if isinstance(value, float) else value for value in values]


def _number(value: float) -> float | msgspec.Raw:
    # JSON cannot say these; they are written so that decode refuses them for what they are.
    return value if math.isfinite(value) else msgspec.Raw(b"NaN")


def _rows(lists: dict[str, list[Any]]) -> list[bytes]:
    spread = [name for name in lists if name.startswith(PREFIX)]
    plain = {name: values for name, values in lists.items() if name not in spread}
    rows = [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
    for name in spread:
        for row, value in zip(rows, lists[name], strict=True):
            if value is not None:
                row["attributes"] = attributes = row.get("attributes") or {}
                attributes[name.removeprefix(PREFIX)] = value
    return [_encode(_present(row)) for row in rows]


def _present(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]

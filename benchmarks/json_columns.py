"""JSON into columns and nothing more, by the fastest libraries: what the whole path is held to."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.json as pj

TEXTS = ("id", "time", "type", "service", "environment", "version", "outcome", "subject")
ATTRIBUTES = ("country", "warehouse", "tenant")

Decoder = Callable[[bytes], object]


class _Attributes(msgspec.Struct, gc=False):
    country: str = ""
    warehouse: str = ""
    tenant: str = ""


class _Event(msgspec.Struct, gc=False):
    id: str
    time: str
    type: str
    service: str
    environment: str
    version: str
    outcome: str
    value: float
    subject: str
    attributes: _Attributes


def by_msgspec() -> Decoder:
    """All lines by one call into structs, then a list for every field."""
    decoder = msgspec.json.Decoder(_Event)

    def decode(body: bytes) -> object:
        events = decoder.decode_lines(body)
        attributes = [event.attributes for event in events]
        return [
            [event.id for event in events],
            [event.time for event in events],
            [event.type for event in events],
            [event.service for event in events],
            [event.environment for event in events],
            [event.version for event in events],
            [event.outcome for event in events],
            [event.value for event in events],
            [event.subject for event in events],
            [one.country for one in attributes],
            [one.warehouse for one in attributes],
            [one.tenant for one in attributes],
        ]

    return decode


def by_pyarrow() -> Decoder:
    """The reader of pyarrow with the schema given, one thread."""
    inner = pa.struct([(name, pa.string()) for name in ATTRIBUTES])
    schema = pa.schema(
        [*((name, pa.string()) for name in TEXTS), ("value", pa.float64()), ("attributes", inner)]
    )
    parse = pj.ParseOptions(explicit_schema=schema)
    read = pj.ReadOptions(use_threads=False, block_size=32 << 20)
    return lambda body: pj.read_json(io.BytesIO(body), read_options=read, parse_options=parse)


def by_polars() -> Decoder:
    """The reader of polars with the schema given, one thread; ImportError if it is not there."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    polars: Any = importlib.import_module("polars")
    inner = polars.Struct(dict.fromkeys(ATTRIBUTES, polars.String))
    schema = dict.fromkeys(TEXTS, polars.String) | {"value": polars.Float64, "attributes": inner}
    return lambda body: polars.read_ndjson(io.BytesIO(body), schema=schema)

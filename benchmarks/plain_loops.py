"""The same job as a team would write it by hand: one Python loop, a dict of lists, a set of ids.

Tuned as far as plain Python goes: decoded by the fastest libraries, no dates parsed (the first 18
characters of a time name its ten seconds), no objects made for an event that the loop does not
need. Nothing is checked, nothing is kept on disk, and ids are remembered for ever.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from math import log2
from typing import Any

import msgspec


class _Attributes(msgspec.Struct, gc=False):
    tenant: str = ""


class _Event(msgspec.Struct, gc=False):
    id: str
    time: str
    service: str
    version: str
    outcome: str
    value: float
    attributes: _Attributes


# By service, version, tenant and ten seconds: count, failures, sum, sum of squares, buckets.
Sums = dict[tuple[str, str, str, str], list[Any]]


class MsgspecLoop:
    """Events as msgspec structs, a batch of lines decoded by one call."""

    def __init__(self) -> None:
        self.sums: Sums = {}
        self._seen: set[str] = set()
        self._decoder = msgspec.json.Decoder(_Event)

    def take(self, body: bytes) -> None:
        """One batch of NDJSON."""
        seen, sums, enter = self._seen, self.sums, self._seen.add
        for event in self._decoder.decode_lines(body):
            name = event.id
            if name in seen:
                continue
            enter(name)
            key = (event.service, event.version, event.attributes.tenant, event.time[:18])
            row = sums.get(key)
            if row is None:
                row = sums[key] = [0, 0, 0, 0, {}]
            row[0] += 1
            if event.outcome != "ok":
                row[1] += 1
                continue
            quanta = round(event.value * 1e6)
            row[2] += quanta
            row[3] += quanta * quanta
            place = int(log2(quanta) * 32) if quanta > 0 else 0
            buckets = row[4]
            buckets[place] = buckets.get(place, 0) + 1


class OrjsonLoop:
    """Events as dicts of orjson, line by line."""

    def __init__(self) -> None:
        self.sums: Sums = {}
        self._seen: set[str] = set()
        self._loads: Any = importlib.import_module("orjson").loads

    def take(self, body: bytes) -> None:
        """One batch of NDJSON."""
        seen, sums, enter = self._seen, self.sums, self._seen.add
        lines: Iterable[bytes] = body.splitlines()
        for event in map(self._loads, lines):
            name = event["id"]
            if name in seen:
                continue
            enter(name)
            key = (
                event["service"], event["version"], event["attributes"]["tenant"],
                event["time"][:18],
            )  # fmt: skip
            row = sums.get(key)
            if row is None:
                row = sums[key] = [0, 0, 0, 0, {}]
            row[0] += 1
            if event["outcome"] != "ok":
                row[1] += 1
                continue
            quanta = round(event["value"] * 1e6)
            row[2] += quanta
            row[3] += quanta * quanta
            place = int(log2(quanta) * 32) if quanta > 0 else 0
            buckets = row[4]
            buckets[place] = buckets.get(place, 0) + 1

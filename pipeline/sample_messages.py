"""The messages of a sample: read as the source would get them, and which fields nobody uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from collector.mapping.terms import Mapped, Root
from collector.mapping.terms import Path as Way
from collector.source import Message

_DEPTH_MAX: Final = 12
_ELEMENTS_MAX: Final = 1_000
# What kcat -J writes: a message with everything that belongs to it.
_KCAT: Final = frozenset({"topic", "partition", "offset", "payload"})


def json_of(payload: bytes) -> Any:
    """What a payload says as JSON, None if it is none."""
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # whatever it is, the form and decode say it


def message_of(payload: bytes, place: str) -> tuple[Message, Any]:
    """The message that a row is, also where kcat -J wrote it, and its JSON where that is known."""
    said = json_of(payload)
    if not isinstance(said, dict) or not said.keys() >= _KCAT or "tstype" not in said:
        return Message(payload, place), said
    words = said.get("headers") or []
    headers = {
        str(name): str(value).encode(errors="replace")
        for name, value in zip(words[::2], words[1::2], strict=False)
        if value is not None
    } if isinstance(words, list) else {}  # fmt: skip
    inner, time_ms = said["payload"], said.get("ts")
    body = (
        inner if isinstance(inner, str) else None if inner is None else msgspec.json.encode(inner)
    )
    return (
        Message(
            body.encode(errors="replace") if isinstance(body, str) else body,
            f"{said['topic']}/{said['partition']}@{said['offset']}",
            headers,
            time_ms if isinstance(time_ms, int) and time_ms >= 0 else None,
        ),
        None,
    )


def used_fields(mapped: Mapped) -> frozenset[tuple[str, ...]]:
    """The paths of a message that a mapping reads, list indexes as ``*``."""
    found: set[tuple[str, ...]] = set()
    for mapping in mapped.mappings:
        begin: tuple[str, ...] = ()
        if mapping.each is not None:
            begin = (*_steps(mapping.each), "*")
        for way in mapping.paths():
            if way.root is Root.ROW:
                found.add(begin + _steps(way))
                if begin:  # an object where a list is expected is its only element
                    found.add(begin[:-1] + _steps(way))
            elif way.root is Root.MESSAGE:
                found.add(_steps(way))
    return frozenset(found)


def _steps(way: Way) -> tuple[str, ...]:
    return tuple("*" if step.lstrip("-").isdigit() else step for step in way.steps)


def unused_fields(said: Any, used: frozenset[tuple[str, ...]]) -> Iterator[str]:
    """The fields of a message that are no part of what is used."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), said)]
    while waiting:
        path, value = waiting.pop()
        if path in used and path:
            continue
        inner: Iterable[tuple[str, Any]] = ()
        if isinstance(value, dict):
            inner = value.items()
        elif isinstance(value, list):
            inner = (("*", one) for one in value[:_ELEMENTS_MAX])
        if len(path) >= _DEPTH_MAX or not isinstance(value, dict | list):
            if path:
                yield ".".join(path)
            continue
        waiting += [((*path, name), one) for name, one in inner]

"""An order of an ERP, mappings of it, and what becomes of them, for the tests of mappings."""

from __future__ import annotations

import json
from typing import Any

from analyzers.policy import Limits
from collector.decoding import refused
from collector.decoding.decode import decode
from collector.mapping.forms import mapped_form
from collector.mapping.terms import (
    Constant,
    EventMapping,
    Expression,
    Mapped,
    Taken,
    path,
)
from collector.source import Formed, Message

ORDER: dict[str, Any] = {
    "art": "AUFTRAG",
    "auftrag": {"nummer": "A-7", "erfasst": "2026-05-21T10:00:00.123Z"},
    "status": 10,
    "betrag": 1250,
    "positionen": [{"sku": "X1", "menge": 3}, {"sku": "X2", "menge": 5}],
}


def take(*texts: str, **more: Any) -> Expression:
    """What stands at the first of these paths."""
    return Expression(source=Taken(tuple(path(text) for text in texts)), **more)


def fixed(value: str | float | bool) -> Expression:
    """The same for every message."""
    return Expression(source=Constant(value))


def mapping(name: str = "map", **more: Any) -> EventMapping:
    """A mapping of the order; ``fields`` and the rest may be given."""
    fields = {
        "time": take("auftrag.erfasst"),
        "type": fixed("order.submitted"),
        "service": fixed("erp"),
        **more.pop("fields", {}),
    }
    id_from = more.pop("id_from", "field" if "id" in fields else "place")
    return EventMapping(name=name, fields=tuple(fields.items()), id_from=id_from, **more)


def formed(mappings: EventMapping | Mapped, said: object, **more: Any) -> Formed:
    """What a message becomes; ``limits`` and the rest of the message may be given."""
    limits = more.pop("limits", Limits())
    mapped = mappings if isinstance(mappings, Mapped) else Mapped((mappings,))
    payload = said if isinstance(said, bytes | None) else json.dumps(said).encode()
    message = Message(payload, more.pop("place", "orders/3@1201"), **more)
    return mapped_form(mapped, name="erp", limits=limits)(message)


def event(mappings: EventMapping | Mapped, said: object, **more: Any) -> dict[str, Any]:
    """The only event of a message, which decode takes."""
    (line,) = formed(mappings, said, **more).lines
    batch = decode([line], attributes=frozenset(), limits=Limits())
    assert not batch.rejects, batch.rejects[0].detail
    found: dict[str, Any] = json.loads(line)
    return found


def fault(mappings: EventMapping | Mapped, said: object, **more: Any) -> str:
    """Why the only line of a message is refused."""
    (line,) = formed(mappings, said, **more).lines
    found = refused.read(line)
    assert found is not None, line
    return f"{found.reason.value}: {found.what}"

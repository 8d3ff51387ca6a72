"""What other tools send, understood by its shape: CloudEvents, CDEvents, GitHub, GitLab, Argo CD,
Flagger, Grafana. Each becomes a marker of our own format, or is known to be meant for others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.decoding.said import Loose
from collector.foreign import (
    argocd,
    cdevents,
    cloudevents,
    flagger,
    github,
    gitlab,
    grafana,
    kinds,
    others,
)
from collector.foreign.cloudevents import Understood
from collector.foreign.kinds import Other

__all__ = ["Other", "Understood", "has_own_fields", "understood"]

# In this order: a shape that is told by more fields comes before one told by fewer.
_READERS: Final = (
    kinds.told,
    cdevents.understood,
    flagger.understood,
    argocd.understood,
    github.understood,
    gitlab.understood,
    grafana.understood,
    others.understood,
)
_OWN: Final = ("type", "service", "deployment")


def understood(loose: Loose) -> Understood:
    """What a JSON object of another tool says: an event or marker, not yet judged; Other if it is
    meant for somebody else; a Fault if it is broken; None if it is ours, or nobody's we know."""
    if cloudevents.is_one(loose.fields):
        return cloudevents.opened(loose.fields, _plain)
    return _plain(loose.fields)


def has_own_fields(loose: Loose) -> bool:
    """Whether an object tries to be an event or marker of our own format."""
    return any(name in loose.fields for name in _OWN)


def _plain(fields: Mapping[str, object]) -> Understood:
    if isinstance(fields.get("type"), str) and isinstance(fields.get("service"), str):
        return None
    for read in _READERS:
        found: Understood = read(fields)
        if found is not None:
            return found
    return None

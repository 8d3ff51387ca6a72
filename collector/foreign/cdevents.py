"""CDEvents 0.3 to 0.6: what they say of services and of the pipelines that deploy them.

CDEvents know no start of a deployment: ``service.deployed`` and ``service.upgraded`` say that a new
version runs now. That is when a release has to be watched, so they start one, and say that this
step went well. ``service.rolledback`` rolls it back. Pipeline and task runs start and finish a
release only where their ``customData`` name the service; the specification gives them no field
for it. ``service.published`` and ``service.removed`` name no version and decide nothing.

What belongs together shares a ``chainId``; without one, the event that a link names is asked.
Source: CDEvents specification, continuous-deployment and core, and links.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, unquote

from collector.decoding.said import Loose
from collector.foreign.kinds import Other, other
from collector.foreign.release import FAILED, FINISHED, OK, ROLLED_BACK, STARTED, marker
from collector.foreign.values import inner, name, text, value

_PREFIX: Final = "dev.cdevents."
_CUSTOM: Final = "dev.cdeventsx."
_LINKS_READ: Final = 64
_SERVICE: Final = {"deployed": STARTED, "upgraded": STARTED, "rolledback": ROLLED_BACK}
_RUN: Final = {"started": STARTED, "finished": FINISHED}


def understood(fields: Mapping[str, object]) -> Loose | Other | None:
    """What a CDEvent says; None if the object is none."""
    kind = text(fields, "context", "type")
    if kind.startswith(_CUSTOM):
        return other("cdevents", "custom")
    if text(fields, "linkType") and ("chainId" in fields or "linkKind" in fields):
        return other("cdevents", "link")  # a link on its own, which names events and says nothing
    if not kind.startswith(_PREFIX) or not isinstance(fields.get("subject"), dict):
        return None
    subject, _, rest = kind.removeprefix(_PREFIX).partition(".")
    predicate = rest.partition(".")[0]
    if subject == "service" and predicate in _SERVICE:
        return _of_service(fields, _SERVICE[predicate])
    if subject in ("pipelinerun", "taskrun") and predicate in _RUN:
        own = _own(fields)
        if text(own, "service"):
            return _of_run(fields, _RUN[predicate], own)
    return other("cdevents", subject)


def _of_service(fields: Mapping[str, object], event_type: str) -> Loose:
    content = inner(fields, "subject", "content")
    own = _own(fields)
    service = text(fields, "subject", "id")
    environment = text(content, "environment", "id")
    return marker(
        event_type,
        id=_id(fields),
        time=value(fields, "context", "timestamp"),
        deployment=_deployment(
            fields,
            text(own, "service") or service,
            text(own, "environment") or environment,
            ends=event_type == ROLLED_BACK,
        ),
        service=service,
        version=version_of_purl(text(content, "artifactId")),
        environment=environment,
        outcome=OK if event_type == STARTED else "",
        own=own,
    )


def _of_run(fields: Mapping[str, object], event_type: str, own: Mapping[str, object]) -> Loose:
    content = inner(fields, "subject", "content")
    outcome = ""
    if event_type == FINISHED:
        outcome = OK if text(content, "outcome") == "success" else FAILED
    return marker(
        event_type,
        id=_id(fields),
        time=value(fields, "context", "timestamp"),
        deployment=_deployment(
            fields, text(own, "service"), text(own, "environment"), ends=event_type == FINISHED
        ),
        service="",
        version=version_of_purl(text(own, "artifactId")),
        outcome=outcome,
        own=own,
    )


def _id(fields: Mapping[str, object]) -> str:
    """An id is unique among the events of one source; the type is there for senders who give two
    events about one thing the same one."""
    context = inner(fields, "context")
    said = text(context, "id")
    kind = ".".join(text(context, "type").split(".")[2:4])
    return name("cdevents", kind, text(context, "source"), said) if said else ""


def _own(fields: Mapping[str, object]) -> Mapping[str, object]:
    return inner(fields, "customData")


def _deployment(fields: Mapping[str, object], service: str, environment: str, *, ends: bool) -> str:
    """A name that the events of one rollout of a service to an environment share."""
    chain = text(fields, "context", "chainId")
    if not chain and ends:
        chain = _linked(value(fields, "context", "links"))
    if not chain and text(fields, "context", "type").split(".")[2] in ("pipelinerun", "taskrun"):
        chain = text(fields, "subject", "id")  # start and finish of one run share it
    return name("cdevents", service, environment, chain or text(fields, "context", "id"))


def _linked(links: object) -> str:
    """The event that another one follows, as its embedded links say; a path before a relation."""
    if not isinstance(links, list):
        return ""
    read = links[:_LINKS_READ]
    found = [text(link, "from", "contextId") for link in read]
    found += [text(link, "target", "contextId") for link in read]
    return next((one for one in found if one), "")


def version_of_purl(artifact: str) -> str:
    """The version in a package URL; anything else is a version as it stands.

    >>> version_of_purl("pkg:oci/orders@sha256%3A0b31?tag=1.4")
    'sha256:0b31'
    >>> version_of_purl("pkg:oci/orders?tag=1.4"), version_of_purl("1.4")
    ('1.4', '1.4')
    """
    if not artifact.startswith("pkg:"):
        return artifact
    path, _, qualifiers = artifact.partition("#")[0].partition("?")
    _, found, version = path.rpartition("@")
    if found and "/" not in version:
        return unquote(version)
    return parse_qs(qualifiers).get("tag", [""])[0]

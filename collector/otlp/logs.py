"""Log records as lines: those with an event name are events, deployment markers among them.

Without any rule, semantic conventions say what a record means: the type is its event name, service
and version are the resource's, the outcome is the attribute ``outcome``, else ``error.type``, else
an error from severity ERROR on. ``id``, ``value``, ``subject``, ``ref``, ``track`` and
``synthetic`` are attributes of these names, bare or with the prefix ``plimsoll.``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from analyzers.policy import Limits
from collector.decoding.markers import is_marker
from collector.otlp import events, json, proto
from collector.otlp.attributes import number, reading, text
from collector.otlp.events import NOT_WANTED, Origin, OtlpFormed, RefusedError, Work
from collector.otlp.records import LogRecord, Value
from collector.otlp.rules import PREFIX, Encoding, LogRule, Names, Naming, OtlpRules, naming

WITHOUT_NAME: Final = "log_without_event_name"

_SEVERITY_ERROR: Final = 17
_MARKER_TEXTS: Final = ("replaces", "strategy", "outcome", "owner", "runbook")
_COHORT: Final = "cohort."
_USUAL: Final = naming(Names())


class _Marker(msgspec.Struct, omit_defaults=True):
    """One marker as our own JSON has it; ``share`` and ``cohort`` are for ``decode`` to judge."""

    id: str
    time: int | str
    type: str
    deployment: str
    service: str
    environment: str = ""
    version: str = ""
    replaces: str = ""
    strategy: str = ""
    outcome: str = ""
    owner: str = ""
    runbook: str = ""
    share: Value = None
    cohort: Value = None


def lines_of_logs(
    body: bytes, encoding: Encoding, *, rules: OtlpRules, limits: Limits, place: str = ""
) -> OtlpFormed:
    """The lines of a logs request. ``place`` names its message in a topic, if it has one: ids that
    a record does not bring are made of it, otherwise of the record itself.

    MalformedError if the body is no such request, TooManyError over ``limits.queued_events``.
    """
    read = proto.logs if encoding is Encoding.PROTO else json.logs
    request = read(body, most=limits.queued_events)
    work = Work.on(request.count, "log records", limits=limits, place=place)
    for group in request.groups:
        origin = events.origin(group.resource)
        for record in group.records:
            work.number += 1
            _take(work, record, origin, rules)
    return work.formed


def _take(work: Work, record: LogRecord, origin: Origin, rules: OtlpRules) -> None:
    named = record.event_name or text(record.attributes.get("event.name"))
    rule = _rule(rules.logs, named, record, origin) if rules.logs else None
    kind = named if rule is None else rule.type
    if not kind:
        work.ignore(WITHOUT_NAME if rule is None else NOT_WANTED)
        return
    try:
        if is_marker(kind):
            line = _marker(work, record, origin, kind)
        else:
            line = _event(
                work, record, origin, kind, _USUAL if rule is None else naming(rule.names)
            )
    except RefusedError as error:
        line = events.refused_line(
            error.fault, origin, record, kind=kind, time_ns=record.time_ns, limits=work.limits
        )
    work.add(line)


def _rule(
    rules: tuple[LogRule, ...], named: str, record: LogRecord, origin: Origin
) -> LogRule | None:
    for rule in rules:
        if rule.event_name not in ("", named) or not (rule.event_name or rule.where):
            continue
        if not rule.where or events.matches(rule.where, record.attributes, origin):
            return rule
    return None


def _event(work: Work, record: LogRecord, origin: Origin, kind: str, names: Naming) -> bytes:
    given = reading(record.attributes, names, origin.attributes)
    work.formed.left_out += given.left_out
    found = events.event(
        given,
        origin,
        kind=kind,
        time_ns=record.time_ns,
        failed=record.severity >= _SEVERITY_ERROR,
        attributes=record.attributes,
    )
    found.id = text(given.fields.get("id")) or work.identity(origin, kind, record)
    return events.line(found)


def _marker(work: Work, record: LogRecord, origin: Origin, kind: str) -> bytes:
    """The marker that a record with such an event name is. It is told by whoever deploys, so the
    service and version that it is about are attributes; without them it is about itself."""
    said = record.attributes

    def told(name: str) -> str:
        return text(said.get(PREFIX + name)) or text(said.get(name))

    service = told("service") or text(said.get("service.name"))
    about_itself = service in ("", origin.service)
    version = told("version") or text(said.get("service.version"))
    found = _Marker(
        id=told("id") or text(said.get("event.id")) or work.identity(origin, kind, record),
        time=events.said_time(events.known(record.time_ns)),
        type=kind,
        deployment=told("deployment") or text(said.get("deployment.id")),
        service=service or origin.service,
        environment=told("environment")
        or text(said.get("deployment.environment.name"))
        or origin.environment,
        version=version or (origin.version if about_itself else ""),
        share=_share(said.get(PREFIX + "share", said.get("share"))),
        cohort=_cohort(said),
        **{name: told(name) for name in _MARKER_TEXTS},
    )
    return events.line(found)


def _share(value: Value) -> Value:
    found = number(value)
    return value if found is None else events.finite(found)


def _cohort(said: Mapping[str, Value]) -> Value:
    """The cohort as one nested attribute, or as one attribute each: ``cohort.warehouse``."""
    whole = said.get(PREFIX + "cohort", said.get("cohort"))
    if whole is not None:
        return whole
    parts = {
        short.removeprefix(_COHORT): value if isinstance(value, list) else [value]
        for name, value in said.items()
        if (short := name.removeprefix(PREFIX)).startswith(_COHORT)
    }
    return parts or None

"""Spans as lines, where a rule says of which type: the value is how long it took, in seconds."""

from __future__ import annotations

from typing import Final

from analyzers.policy import Limits
from collector.decoding.faults import Reason
from collector.otlp import events, json, proto
from collector.otlp.attributes import reading, text
from collector.otlp.events import NOT_WANTED, Origin, OtlpFormed, RefusedError, Work
from collector.otlp.records import Span
from collector.otlp.rules import Encoding, OtlpRules, SpanRule, naming

WITHOUT_RULE: Final = "span_without_rule"

_NS_PER_S: Final = 1_000_000_000
_TRACE_LETTERS: Final = 32
_SPAN_LETTERS: Final = 16


def lines_of_traces(
    body: bytes, encoding: Encoding, *, rules: OtlpRules, limits: Limits, place: str = ""
) -> OtlpFormed:
    """The lines of a traces request; arguments and errors as in ``lines_of_logs``.

    A span has an identity of its own, its trace's id and its own, which serves everywhere: the
    same span over two ways is one event.
    """
    read = proto.traces if encoding is Encoding.PROTO else json.traces
    request = read(body, most=limits.queued_events)
    work = Work.on(request.count, "spans", limits=limits, place=place)
    for group in request.groups:
        origin = events.origin(group.resource)
        for span in group.records:
            work.number += 1
            _take(work, span, origin, rules)
    return work.formed


def _take(work: Work, span: Span, origin: Origin, rules: OtlpRules) -> None:
    rule = _rule(rules.spans, span, origin)
    if rule is None or not rule.type:
        work.ignore(WITHOUT_RULE if rule is None else NOT_WANTED)
        return
    try:
        line = _event(work, span, origin, rule)
    except RefusedError as error:
        line = events.refused_line(
            error.fault, origin, span, kind=rule.type, time_ns=span.end_ns, limits=work.limits
        )
    work.add(line)


def _rule(rules: tuple[SpanRule, ...], span: Span, origin: Origin) -> SpanRule | None:
    for rule in rules:
        if rule.span_name in ("", span.name) and events.matches(
            rule.where, span.attributes, origin
        ):
            return rule
    return None


def _event(work: Work, span: Span, origin: Origin, rule: SpanRule) -> bytes:
    given = reading(span.attributes, naming(rule.names), origin.attributes)
    work.formed.left_out += given.left_out
    if span.start_ns <= 0 or span.end_ns <= 0:
        raise RefusedError(Reason.MISSING_FIELD, "the span has no start or no end time")
    if span.end_ns < span.start_ns:
        raise RefusedError(Reason.MAPPING, "the span ends before it starts")
    found = events.event(
        given,
        origin,
        kind=rule.type,
        time_ns=span.end_ns,
        failed=span.failed,
        attributes=span.attributes,
    )
    if not rule.names.value:
        found.value = (span.end_ns - span.start_ns) / _NS_PER_S
    if not span.failed and "outcome" not in given.fields:
        found.outcome = ""  # a handled error is the span's own business; its status says what came
    found.id = (
        text(given.fields.get("id")) or _own_id(span) or work.identity(origin, rule.type, span)
    )
    return events.line(found)


def _own_id(span: Span) -> str:
    if len(span.trace) != _TRACE_LETTERS or len(span.span) != _SPAN_LETTERS:
        return ""
    return f"{span.trace}-{span.span}"

"""What is asked of events that are posted, as a configuration writes it.

The rules for OpenTelemetry records, the secrets of webhooks, and how long an event is remembered
so that it counts once. A secret stands in no repr and in no fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from collector.otlp.rules import FIELDS, LogRule, MetricRule, Names, OtlpRules, SpanRule
from pipeline.config.document import Fields
from pipeline.config.faults import joined
from pipeline.config.fields import (
    Key,
    Place,
    Reader,
    Section,
    duration,
    flag,
    lasting,
    number,
    section,
    text,
    whole,
)
from pipeline.config.kafka import SECRET

if TYPE_CHECKING:
    from collector.foreign.signatures import WebhookSecrets

T = TypeVar("T")

RULES_MAX: Final = 500
WHERE_MAX: Final = 32
HORIZON_S: Final = 35 * 86_400
IDS: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """OpenTelemetry: the port of gRPC (None: only HTTP), and which records are events."""

    grpc_port: int | None = None
    rules: OtlpRules = field(default_factory=OtlpRules)


@dataclass(frozen=True, slots=True)
class Deduplication:
    """How long an id is remembered: within a horizon of event time and a number of ids, whichever
    is reached first."""

    horizon_s: int = HORIZON_S
    ids: int = IDS


def _as_it_is(place: Place) -> Place | None:
    return place


_LIST: Final = "one rule or a list of them"
_TYPE_TEXT: Final = text(256, form="an event type")
_ATTRIBUTE: Final = text(256, form="the name of an attribute")

TYPE: Final = Key(
    "type", _TYPE_TEXT, "none", "The type of the events; without one, these records are no events."
)
EVENT_NAME: Final = Key("event_name", text(256), "any", "The event name of the log record.")
SPAN: Final = Key("span", text(256), "any", "The name of the span.")
METRIC: Final = Key("metric", text(256), "", "The name of the metric.")
WHERE: Final = Key(
    "where",
    Reader("a mapping of attributes to one value each", _as_it_is),
    "none",
    "Only records with these attributes, of their own or of their resource.",
)
NAMES: Final = Key(
    "fields",
    Reader(f"a mapping of {', '.join(FIELDS)} to attributes", _as_it_is),
    "the usual ones",
    "Which attribute fills which field of the event.",
)
FACTOR: Final = Key(
    "factor",
    number(-1e12, 1e12),
    "by the unit of the metric: times become seconds",
    "What the value of a point is multiplied by.",
)
COUNTED: Final = Key(
    "counted", flag(), "false", "With `true`, every unit of a delta sum is an event of its own."
)
LOG_KEYS: Final[tuple[Key[Any], ...]] = (TYPE, EVENT_NAME, WHERE, NAMES)
SPAN_KEYS: Final[tuple[Key[Any], ...]] = (TYPE, SPAN, WHERE, NAMES)
METRIC_RULE_KEYS: Final[tuple[Key[Any], ...]] = (TYPE, METRIC, WHERE, NAMES, FACTOR, COUNTED)

GRPC: Final = Key(
    "grpc", whole(0, 65_535), "no gRPC", "The port of OTLP over gRPC, by custom 4317; 0 takes one."
)
LOGS: Final = Key("logs", Reader(_LIST, _as_it_is), "event names", "Which log records are events.")
SPANS: Final = Key("spans", Reader(_LIST, _as_it_is), "none", "Which spans are events.")
METRICS: Final = Key("metrics", Reader(_LIST, _as_it_is), "none", "Which data points are events.")
OTLP_KEYS: Final[tuple[Key[Any], ...]] = (GRPC, LOGS, SPANS, METRICS)
_NAME_KEYS: Final = tuple(Key(name, _ATTRIBUTE, "", "") for name in FIELDS)

GITHUB: Final = Key("github", Reader("`{secret: ...}`", _as_it_is), "none", "Webhooks of GitHub.")
GITLAB: Final = Key("gitlab", Reader("`{token: ...}`", _as_it_is), "none", "Webhooks of GitLab.")
SECRET_KEY: Final = Key("secret", SECRET, "", "The secret that was entered there.")
TOKEN_KEY: Final = Key("token", SECRET, "", "The token that was entered there.")
WEBHOOK_KEYS: Final[tuple[Key[Any], ...]] = (GITHUB, GITLAB)

HORIZON: Final = Key(
    "horizon",
    duration(3_600, 400 * 86_400),
    lasting(HORIZON_S),
    "How long before the newest event an event is known again; older ones are refused.",
)
IDS_KEY: Final = Key(
    "ids",
    whole(1_000, 100_000_000),
    f"{IDS}",
    "How many ids are remembered at most, whatever the horizon; each takes up to 24 bytes.",
)
DEDUPLICATION_KEYS: Final[tuple[Key[Any], ...]] = (HORIZON, IDS_KEY)

OTLP: Final = Key(
    "otlp",
    Reader("a mapping, as below", _as_it_is),
    "log records with event names, over HTTP",
    "Which records of OpenTelemetry are events.",
)
WEBHOOKS: Final = Key(
    "webhooks",
    Reader("a mapping, as below", _as_it_is),
    "none",
    "Secrets of those who post markers: with one, what is not signed with it is refused.",
)
DEDUPLICATION: Final = Key(
    "deduplication",
    Reader("a mapping, as below", _as_it_is),
    "as below",
    "How long an id is remembered, so that the same event counts once.",
)


def otlp_settings(top: Section) -> OtlpSettings:
    """What a configuration says of OpenTelemetry."""
    place = OTLP.of(top)
    here = None if place is None else section(place, OTLP_KEYS)
    if here is None:
        return OtlpSettings()
    rules = OtlpRules(
        logs=tuple(_log(one) for one in _rules(LOGS, here, LOG_KEYS)),
        spans=tuple(_span(one) for one in _rules(SPANS, here, SPAN_KEYS)),
        metrics=tuple(_metric(one) for one in _rules(METRICS, here, METRIC_RULE_KEYS)),
    )
    return OtlpSettings(GRPC.of(here), rules)


def _rules(key: Key[Place], here: Section, keys: tuple[Key[Any], ...]) -> tuple[Section, ...]:
    place = key.of(here)
    places = () if place is None else place.elements()
    if place is not None and len(places) > RULES_MAX:
        place.fault(f"has {len(places)} rules: at most {RULES_MAX} are looked at")
    found = (section(one, keys) for one in places)
    return tuple(one for one in found if one is not None)


def _log(here: Section) -> LogRule:
    name, where = EVENT_NAME.of(here) or "", _where(here)
    if not name and not where:
        here.place.fault("fits every log record: name an `event_name:` or something in `where:`")
    return LogRule(TYPE.of(here) or "", name, where, _names(here))


def _span(here: Section) -> SpanRule:
    name, where = SPAN.of(here) or "", _where(here)
    if not name and not where:
        here.place.fault("fits every span: name a `span:` or something in `where:`")
    return SpanRule(TYPE.of(here) or "", name, where, _names(here))


def _metric(here: Section) -> MetricRule:
    if not here.has(METRIC):
        here.fault(METRIC, "is missing: name the metric")
    return MetricRule(
        TYPE.of(here) or "",
        METRIC.of(here) or "",
        _where(here),
        _names(here),
        FACTOR.of(here),
        COUNTED.of(here) or False,
    )


def _where(here: Section) -> tuple[tuple[str, str], ...]:
    place = WHERE.of(here)
    if place is None:
        return ()
    entries = place.node.entries if isinstance(place.node, Fields) else {}
    if not isinstance(place.node, Fields) or len(entries) > WHERE_MAX:
        place.fault(f"must be a mapping of at most {WHERE_MAX} attributes to one value each")
    reader = text(1_000)
    found = []
    for name, node in entries.items():
        value = reader.read(Place(node, joined(place.path, name), place.faults))
        if value is not None:
            found.append((name, value))
    return tuple(found)


def _names(here: Section) -> Names:
    place = NAMES.of(here)
    inner = None if place is None else section(place, _NAME_KEYS)
    if inner is None:
        return Names()
    return Names(**{key.name: value for key in _NAME_KEYS if (value := key.of(inner))})


def webhook_secrets(top: Section) -> WebhookSecrets | None:
    """The secrets of webhooks, None where there are none."""
    place = WEBHOOKS.of(top)
    here = None if place is None else section(place, WEBHOOK_KEYS)
    if here is None:
        return None
    github = _secret(GITHUB, here, SECRET_KEY)
    gitlab = _secret(GITLAB, here, TOKEN_KEY)
    if not github and not gitlab:
        return None
    # Reading bodies is slow to import, and most configurations have no webhooks.
    from collector.foreign.signatures import WebhookSecrets  # noqa: PLC0415

    return WebhookSecrets(github=github, gitlab=gitlab)


def _secret(key: Key[Place], here: Section, inside: Key[str]) -> str:
    place = key.of(here)
    if place is None:
        return ""
    if not isinstance(place.node, Fields):  # which may well be the secret itself
        place.fault(f"must be {key.reader.form}")
        return ""
    inner = section(place, (inside,))
    if inner is not None and not inner.has(inside):
        inner.fault(inside, "is missing: enter the one that the sender has")
    return "" if inner is None else inside.of(inner) or ""


def deduplication(top: Section) -> Deduplication:
    """How long ids are remembered."""
    place = DEDUPLICATION.of(top)
    here = None if place is None else section(place, DEDUPLICATION_KEYS)
    if here is None:
        return Deduplication()
    return Deduplication(HORIZON.of(here) or HORIZON_S, IDS_KEY.of(here) or IDS)

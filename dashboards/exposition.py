"""``GET /metrics``: a snapshot of the committed state in the Prometheus text format.

A collector makes the samples anew at every scrape, so a release that the state has forgotten
vanishes by itself and nothing is counted in two places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from analyzers.auditing.audit import Rate
from analyzers.facts import NS_PER_S
from analyzers.judging.verdict import ACTIONS, STATUSES, Reason
from dashboards.instruments import (
    INSTRUMENTS,
    PREFIX,
    SERIES_LIMIT,
    WORST_SEGMENTS,
    Instrument,
)
from dashboards.snapshot import (
    SECONDS_BOUNDS,
    Distribution,
    Reader,
    Release,
    Snapshot,
    SourceVitals,
)

TOTAL: Final = "total"  # the segment label of a total; others read name=value

Labels = tuple[str, ...]
Sample = tuple[Labels, float]


def routes(reader: Reader, *, version: str) -> list[Route]:
    """The one route, in the format that the scraper asks for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(reader, version=version))
    ProcessCollector(registry=registry)

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return [Route("/metrics", metrics, methods=["GET"], name="metrics")]


class SnapshotCollector(Collector):
    """The metrics of the table, with the samples that a snapshot gives them."""

    def __init__(self, reader: Reader, *, version: str) -> None:
        self._reader = reader
        self._version = version

    def describe(self) -> Iterable[Metric]:
        """Every metric without samples, so that names are known before the first scrape."""
        return [_family(instrument) for instrument in INSTRUMENTS]

    def collect(self) -> Iterator[Metric]:
        """Every metric with its samples as of now."""
        snapshot = self._reader.snapshot()
        samples = samples_of(snapshot, version=self._version)
        for instrument in INSTRUMENTS:
            family = _family(instrument)
            if isinstance(family, HistogramMetricFamily):
                _add_distribution(family, _DISTRIBUTIONS[instrument.name](snapshot))
            else:
                for labels, value in samples[instrument.name]:
                    family.add_metric(labels, value)
            yield family


def samples_of(snapshot: Snapshot, *, version: str) -> Mapping[str, list[Sample]]:
    """The samples of every counter and gauge, by the instrument's name."""
    samples: dict[str, list[Sample]] = {
        PREFIX + name: list(give(snapshot)) for name, give in _PLAIN.items()
    }
    samples[PREFIX + "build_info"] = [((version,), 1.0)]
    for name in _OF_RELEASE:
        samples[PREFIX + name] = []
    room = SERIES_LIMIT - sum(map(len, samples.values()))
    omitted = 0
    for release in snapshot.releases.values():  # newest first
        found = {name: list(give(release)) for name, give in _OF_RELEASE.items()}
        size = sum(map(len, found.values()))
        if size > room:
            omitted += size
            continue
        room -= size
        for name, rows in found.items():
            samples[PREFIX + name] += rows
    samples[PREFIX + "exposition_omitted_series"] = [((), float(omitted))]
    return samples


def segment_label(segment: Mapping[str, str]) -> str:
    """A segment as one label value: ``total``, or ``name=value`` joined by commas."""
    return ",".join(f"{name}={value}" for name, value in sorted(segment.items())) or TOTAL


def worst(reasons: Iterable[Reason]) -> list[Reason]:
    """Of each metric that was observed the total and its worst segments, by evidence of harm."""
    by_metric: dict[str, list[Reason]] = {}
    for reason in reasons:
        if reason.state == "not_observed":
            continue
        by_metric.setdefault(reason.metric, []).append(reason)
    chosen: list[Reason] = []
    for told in by_metric.values():
        chosen += [reason for reason in told if not reason.segment]
        segments = [reason for reason in told if reason.segment]
        segments.sort(key=lambda reason: (-reason.e_value, segment_label(reason.segment)))
        chosen += segments[:WORST_SEGMENTS]
    return chosen


def _identity(release: Release) -> Labels:
    verdict = release.verdict
    return (verdict.deployment, verdict.service, verdict.version, verdict.environment)


def _verdicts(release: Release) -> Iterator[Sample]:
    for status in STATUSES:
        yield (*_identity(release), status), float(status == release.verdict.verdict)


def _actions(release: Release) -> Iterator[Sample]:
    for action in ACTIONS:
        yield (*_identity(release), action), float(action == release.verdict.action)


def _reason_labels(release: Release, reason: Reason) -> Labels:
    verdict = release.verdict
    return (
        verdict.deployment,
        verdict.service,
        verdict.environment,
        reason.metric,
        segment_label(reason.segment),
    )


def _effects(release: Release) -> Iterator[Sample]:
    for reason in worst(release.verdict.reasons):
        labels = _reason_labels(release, reason)
        bounds = (("low", reason.low), ("estimate", reason.effect), ("high", reason.high))
        for bound, value in bounds:
            if value is not None:
                yield (*labels, bound), value


def _margins(release: Release) -> Iterator[Sample]:
    for reason in worst(release.verdict.reasons):
        yield _reason_labels(release, reason), reason.margin


def _evidence(release: Release) -> Iterator[Sample]:
    for reason in worst(release.verdict.reasons):
        labels = _reason_labels(release, reason)
        yield (*labels, "harm"), reason.e_value
        yield (*labels, "safe"), reason.e_safe


def _marker_times(release: Release) -> Iterator[Sample]:
    latest: dict[str, int] = {}
    for marker in release.markers:
        latest[marker.type] = max(marker.time_ns, latest.get(marker.type, marker.time_ns))
    for kind, time_ns in sorted(latest.items()):
        yield (*_identity(release), kind), time_ns / NS_PER_S


_OF_RELEASE: Final[Mapping[str, Callable[[Release], Iterator[Sample]]]] = {
    "release_verdict": _verdicts,
    "release_action": _actions,
    "release_effect": _effects,
    "release_margin": _margins,
    "release_evidence": _evidence,
    "deployment_marker_timestamp_seconds": _marker_times,
}


def _false_alarms(snapshot: Snapshot) -> list[Sample]:
    audited = snapshot.audit
    services = [] if audited is None else audited.audit.services
    found: list[Sample] = []
    for one in services:
        whose = (one.environment, one.service)
        found += _bounds((*whose, "all"), one.false_alarms)
        for metric in one.metrics:
            found += _bounds((*whose, metric.metric), metric.false_alarms)
    return found


def _power(snapshot: Snapshot) -> list[Sample]:
    audited = snapshot.audit
    services = [] if audited is None else audited.audit.services
    return [
        sample
        for one in services
        for metric in one.metrics
        if metric.power is not None
        for sample in _bounds((one.environment, one.service, metric.metric), metric.power)
    ]


def _bounds(labels: Labels, rate: Rate) -> list[Sample]:
    bounds = (("low", rate.low), ("estimate", rate.share), ("high", rate.high))
    return [((*labels, bound), value) for bound, value in bounds]


def _single(value: float | None) -> list[Sample]:
    return [] if value is None else [((), float(value))]


def _of_sources(snapshot: Snapshot, value: Callable[[SourceVitals], float]) -> list[Sample]:
    return [((one.label,), float(value(one))) for one in snapshot.vitals.sources]


def _seconds(time_ns: int | None) -> list[Sample]:
    return [] if time_ns is None else [((), time_ns / NS_PER_S)]


_PLAIN: Final[Mapping[str, Callable[[Snapshot], list[Sample]]]] = {
    "deployments_total": lambda s: [
        ((one.environment, one.service), float(one.deployments)) for one in s.deliveries
    ],
    "rollbacks_total": lambda s: [
        ((one.environment, one.service), float(one.rollbacks)) for one in s.deliveries
    ],
    "business_events_total": lambda s: [
        ((one.environment, one.service, one.type, one.outcome), float(one.events))
        for one in s.events
    ],
    "events_total": lambda s: _single(s.tallies.events),
    "markers_total": lambda s: _single(s.tallies.markers),
    "duplicates_total": lambda s: _single(s.tallies.duplicates),
    "conflicts_total": lambda s: _single(s.tallies.conflicts),
    "late_total": lambda s: _single(s.tallies.late),
    "folded_into_other_total": lambda s: _single(s.tallies.folded),
    "ignored_total": lambda s: [
        ((kind,), float(count)) for kind, count in sorted(s.ignored_by_kind.items())
    ],
    "rejected_total": lambda s: [
        ((reason,), float(count)) for reason, count in sorted(s.rejected_by_reason.items())
    ],
    "audit_false_alarm_ratio": _false_alarms,
    "audit_power_ratio": _power,
    "audit_promised_ratio": lambda s: _single(s.audit.audit.error_rate if s.audit else None),
    "audit_timestamp_seconds": lambda s: _single(s.audit.finished_s if s.audit else None),
    "stream_timestamp_seconds": lambda s: _seconds(s.now_ns),
    "watermark_timestamp_seconds": lambda s: _seconds(s.watermark_ns),
    "stream_quiet_seconds": lambda s: _single(s.quiet_s),
    "ready": lambda s: _single(s.vitals.ready),
    "turns_total": lambda s: _single(s.vitals.turns),
    "ingest_lag_seconds": lambda s: _single(s.vitals.ingest_lag_s),
    "checkpoint_age_seconds": lambda s: _single(s.vitals.checkpoint_age_s),
    "requests_refused_total": lambda s: [
        ((error,), float(count)) for error, count in sorted(s.vitals.requests_refused.items())
    ],
    "source_up": lambda s: _of_sources(s, lambda one: not one.trouble),
    "source_behind": lambda s: _of_sources(s, lambda one: one.behind),
    "source_payloads_total": lambda s: _of_sources(s, lambda one: one.read),
    "source_rejected_total": lambda s: _of_sources(s, lambda one: one.rejected),
    "source_duplicates_total": lambda s: _of_sources(s, lambda one: one.duplicates),
    "source_ignored_total": lambda s: [
        ((one.label, kind), float(count))
        for one in s.vitals.sources
        for kind, count in sorted(one.ignored.items())
    ],
    "queue_events": lambda s: _single(s.vitals.queue_events.value),
    "queue_events_limit": lambda s: _single(s.vitals.queue_events.limit),
    "queue_bytes": lambda s: _single(s.vitals.queue_bytes.value),
    "queue_bytes_limit": lambda s: _single(s.vitals.queue_bytes.limit),
    "outbox_notices": lambda s: _single(s.vitals.outbox.value),
    "outbox_notices_limit": lambda s: _single(s.vitals.outbox.limit),
    "open_deployments": lambda s: _single(s.vitals.open_deployments.value),
    "open_deployments_limit": lambda s: _single(s.vitals.open_deployments.limit),
    "identities": lambda s: _single(s.vitals.identities.value),
    "identities_limit": lambda s: _single(s.vitals.identities.limit),
    "identities_forgotten_total": lambda s: _single(s.vitals.identities_forgotten),
    "series": lambda s: _single(s.vitals.series.value),
    "series_limit": lambda s: _single(s.vitals.series.limit),
}

_DISTRIBUTIONS: Final[Mapping[str, Callable[[Snapshot], Distribution]]] = {
    PREFIX + "judgement_seconds": lambda s: s.vitals.judgement,
    PREFIX + "commit_seconds": lambda s: s.vitals.commit,
}


def _family(
    instrument: Instrument,
) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    match instrument.kind:
        case "counter":
            return CounterMetricFamily(instrument.name, instrument.help, labels=instrument.labels)
        case "gauge":
            return GaugeMetricFamily(instrument.name, instrument.help, labels=instrument.labels)
        case "histogram":
            return HistogramMetricFamily(instrument.name, instrument.help, labels=instrument.labels)


def _add_distribution(family: HistogramMetricFamily, distribution: Distribution) -> None:
    seen = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*SECONDS_BOUNDS, None), distribution.counts, strict=True):
        seen += count
        buckets.append(("+Inf" if bound is None else repr(bound), seen))
    family.add_metric((), buckets=buckets, sum_value=distribution.total_s)

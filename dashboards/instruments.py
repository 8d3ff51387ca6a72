"""Every metric that plimsoll publishes, in one table: the exposition and the docs follow it.

Nothing here has a value; ``exposition`` gives each its samples from a snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

PREFIX: Final = "plimsoll_"
# A scrape renders under the interpreter lock; ten thousand series take about 0.2 s of it.
# At twice that, a scrape would hold up verdicts for longer than some tools wait.
SERIES_LIMIT: Final = 10_000
WORST_SEGMENTS: Final = 5

_RELEASE: Final = ("deployment", "service", "version", "environment")
_AUDITED: Final = ("environment", "service", "metric", "bound")
_EVIDENCE: Final = ("deployment", "service", "environment", "metric", "segment")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One published metric. ``bound`` says what keeps its number of series small."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    labels: tuple[str, ...]
    help: str
    bound: str


def _counter(name: str, labels: tuple[str, ...], text: str, bound: str, unit: str) -> Instrument:
    return Instrument(PREFIX + name, "counter", unit, labels, text, bound)


def _gauge(name: str, labels: tuple[str, ...], text: str, bound: str, unit: str) -> Instrument:
    return Instrument(PREFIX + name, "gauge", unit, labels, text, bound)


def _histogram(name: str, text: str) -> Instrument:
    return Instrument(PREFIX + name, "histogram", "s", (), text, "one series")


_ONE: Final = "one series"
_SOURCES: Final = "the configured sources"
_NEWEST: Final = f"newest releases first, all metrics together {SERIES_LIMIT} series"
_BIGGEST: Final = "the 20 services with most events, and their metrics"

INSTRUMENTS: Final = (
    # Releases.
    _gauge(
        "release_verdict",
        (*_RELEASE, "verdict"),
        "Verdict of a release: 1 for the current one, 0 for the others.",
        _NEWEST,
        "1",
    ),
    _gauge(
        "release_action",
        (*_RELEASE, "action"),
        "Action recommended for a release: 1 for the current one, 0 for the others.",
        _NEWEST,
        "1",
    ),
    _gauge(
        "release_effect",
        (*_EVIDENCE, "bound"),
        "Difference between canary and baseline in the metric's unit: the estimate, and the low "
        "and high end of its confidence sequence.",
        f"the total and the {WORST_SEGMENTS} worst segments of a metric; {_NEWEST}",
        "of the metric",
    ),
    _gauge(
        "release_margin",
        _EVIDENCE,
        "Largest harm still acceptable, in the metric's unit, with the sign of harm.",
        f"the total and the {WORST_SEGMENTS} worst segments of a metric; {_NEWEST}",
        "of the metric",
    ),
    _gauge(
        "release_evidence",
        (*_EVIDENCE, "hypothesis"),
        "Evidence (e-value) that the release does harm, and that it is safe: 1 is none, "
        "1 / error rate decides.",
        f"the total and the {WORST_SEGMENTS} worst segments of a metric; {_NEWEST}",
        "1",
    ),
    _gauge(
        "deployment_marker_timestamp_seconds",
        (*_RELEASE, "type"),
        "Event time of the latest marker of each type of a deployment.",
        _NEWEST,
        "s",
    ),
    _counter(
        "deployments_total",
        ("environment", "service"),
        "Deployments that have started.",
        "services that release",
        "1",
    ),
    _counter(
        "rollbacks_total",
        ("environment", "service"),
        "Deployments that were rolled back.",
        "services that release",
        "1",
    ),
    # Business events.
    _counter(
        "business_events_total",
        ("environment", "service", "type", "outcome"),
        "Distinct events in the committed state; duplicates are not counted again.",
        "outcomes beyond the most frequent of a type are put together as 'other'",
        "1",
    ),
    _counter("events_total", (), "Distinct events accepted.", _ONE, "1"),
    _counter("markers_total", (), "Deployment markers accepted.", _ONE, "1"),
    _counter("duplicates_total", (), "Events that had been counted before.", _ONE, "1"),
    _counter(
        "conflicts_total",
        (),
        "Events with a known id that said something else; the first one stands.",
        _ONE,
        "1",
    ),
    _counter(
        "late_total", (), "Events that came after the tick of their own time slice.", _ONE, "1"
    ),
    _counter(
        "folded_into_other_total",
        (),
        "Observations counted under 'other', because more services, versions or values of an "
        "attribute came than are kept apart.",
        _ONE,
        "1",
    ),
    _counter(
        "rejected_total",
        ("reason",),
        "Payloads that are no valid event or marker, by reason.",
        "the reasons that decoding knows",
        "1",
    ),
    _counter(
        "ignored_total",
        ("kind",),
        "Payloads that are meant for somebody else and are no faults, by kind.",
        "the kinds that plimsoll knows",
        "1",
    ),
    # The nightly self-audit.
    _gauge(
        "audit_false_alarm_ratio",
        _AUDITED,
        "Share of placebo deployments that were called harm in the last self-audit, by the "
        "policy's rule (metric 'all') or by a metric alone: the estimate, and the low and high end "
        "of its 95 % interval.",
        _BIGGEST,
        "1",
    ),
    _gauge(
        "audit_power_ratio",
        _AUDITED,
        "Share of injected harms of two margins that a metric found within the watch in the "
        "last self-audit: the estimate, and the low and high end of its 95 % interval.",
        _BIGGEST,
        "1",
    ),
    _gauge(
        "audit_promised_ratio",
        (),
        "The rate of false rollbacks that the audited policy promises to stay below.",
        _ONE,
        "1",
    ),
    _gauge("audit_timestamp_seconds", (), "When the last self-audit was finished.", _ONE, "s"),
    # Time.
    _gauge(
        "stream_timestamp_seconds",
        (),
        "Stream time: the newest event time, moved on by the clock while nothing arrives.",
        _ONE,
        "s",
    ),
    _gauge(
        "watermark_timestamp_seconds",
        (),
        "Event time up to which everything has been judged.",
        _ONE,
        "s",
    ),
    _gauge(
        "stream_quiet_seconds",
        (),
        "Seconds since an event last arrived; grows when all traffic stops.",
        _ONE,
        "s",
    ),
    # This process.
    _gauge("build_info", ("version",), "Version of plimsoll; always 1.", _ONE, "1"),
    _gauge("ready", (), "Whether the state is loaded and can be saved: 1 or 0.", _ONE, "1"),
    _counter("turns_total", (), "Turns committed since the process started.", _ONE, "1"),
    _gauge(
        "ingest_lag_seconds",
        (),
        "Age of the oldest request that waits for its commit, or else the longest wait in the "
        "last turn.",
        _ONE,
        "s",
    ),
    _gauge("checkpoint_age_seconds", (), "Seconds since the last commit.", _ONE, "s"),
    _histogram("judgement_seconds", "Time that a turn took to decode, fold and judge."),
    _histogram("commit_seconds", "Time that the commit of a turn took."),
    _counter(
        "requests_refused_total",
        ("error",),
        "Requests with events or markers that were turned away whole, by error.",
        "the errors that the intake knows",
        "1",
    ),
    _counter(
        "identities_forgotten_total",
        (),
        "Identities dropped because there were too many, within the horizon in time: what is sent "
        "again after that is refused as too old. Since the process started.",
        _ONE,
        "1",
    ),
    # Sources that are read.
    *(
        _gauge(f"source_{name}", ("source",), text, _SOURCES, "1")
        for name, text in (
            ("up", "Whether a source is read: 1, or 0 while it does not answer or has stopped."),
            ("behind", "Partitions or files of which more waits than has been read."),
        )
    ),
    *(
        _counter(f"source_{name}_total", ("source",), text, _SOURCES, "1")
        for name, text in (
            ("payloads", "Payloads read since the process started, repeated ones too."),
            ("rejected", "Payloads of a source that were rejected since the process started."),
            ("duplicates", "Payloads of a source that had counted before."),
        )
    ),
    _counter(
        "source_ignored_total",
        ("source", "kind"),
        "Messages of a source that are no events and no faults, by kind.",
        "the configured sources and the kinds that plimsoll knows",
        "1",
    ),
    # Bounds: each with its limit beside it.
    *(
        _gauge(name + suffix, (), text + ending, _ONE, unit)
        for name, text, unit in (
            ("queue_events", "Events that wait for their turn", "1"),
            ("queue_bytes", "Bytes that wait for their turn", "By"),
            ("outbox_notices", "Notices that wait for delivery", "1"),
            ("open_deployments", "Deployments that are being watched", "1"),
            ("series", "Series of cells that are kept", "1"),
            ("identities", "Identities that are remembered so that everything counts once", "1"),
        )
        for suffix, ending in (("", "."), ("_limit", ", at most."))
    ),
    _gauge(
        "exposition_omitted_series",
        (),
        f"Series left out of this answer to stay below {SERIES_LIMIT}; see /v1/verdicts for them.",
        _ONE,
        "1",
    ),
)


def as_markdown() -> str:
    """The table as ``docs/metrics.md``."""
    rows = [
        "# Published metrics",
        "",
        "`GET /metrics` answers in the Prometheus text format. This page is generated from",
        "`dashboards/instruments.py`; a test keeps it equal:",
        "`python -m dashboards.instruments > docs/metrics.md`.",
        "",
        "Counters of events come from the committed state, so they survive restarts and count",
        "nothing twice. Releases vanish from the list when the state forgets them.",
        "",
        "| metric | kind | unit | labels | what it says | bound |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| `{one.name}` | {one.kind} | {one.unit} "
        f"| {', '.join(f'`{label}`' for label in one.labels)} | {one.help} | {one.bound} |"
        for one in INSTRUMENTS
    ]
    return "\n".join([*rows, ""])


if __name__ == "__main__":
    import sys

    sys.stdout.write(as_markdown())

"""Builds docs/configuration.md and docs/catalogue.md from the keys and metrics themselves.

Run it from the root of the repository after a key or the catalogue has changed::

    python -m docs.build_reference

A test holds both pages equal to what this gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from analyzers.policy import DEFAULT_SEGMENTS, Kind, Margin, Measure, Metric
from pipeline.config.catalogue import catalogue
from pipeline.config.conditions import CONDITION_KEYS
from pipeline.config.document import DEPTH_MAX, DOCUMENT_BYTES, NODES_MAX
from pipeline.config.expressions import EXPRESSION_KEYS
from pipeline.config.fields import Key, lasting
from pipeline.config.inputs import (
    DEDUPLICATION_KEYS,
    LOG_KEYS,
    METRIC_RULE_KEYS,
    OTLP_KEYS,
    SPAN_KEYS,
    WEBHOOK_KEYS,
)
from pipeline.config.kafka import KAFKA_KEYS, SECURITY_KEYS
from pipeline.config.mappings import MAPPING_KEYS
from pipeline.config.metric_keys import METRIC_KEYS
from pipeline.config.policies import LIMIT_KEYS, POLICY_KEYS, RULE_KEYS, SERVICE_KEYS
from pipeline.config.settings import CHANNEL_KEYS, DAEMON_KEYS
from pipeline.config.sources import FILES_KEYS, SOURCE_KEYS

DOCS: Final = Path(__file__).parent
EXAMPLE: Final = DOCS / "plimsoll.example.yml"
GENERATED: Final = (
    "This page is generated (`python -m docs.build_reference`); a test keeps it equal to the code."
)
_SAYS: Final = {
    Measure.EVENTS: "Counts the `ok` events",
    Measure.OUTCOME: "The share of events with outcome `ok`",
    Measure.VALUE: "The `value` of the `ok` events",
    Measure.ANSWER: "The share of `ok` events that are answered in time",
    Measure.VALIDITY: "The share of events that could be read",
    Measure.FLOW: "Counts every event, whatever its outcome",
    Measure.ASSIGNMENT: "Counts the units on each side, each `subject` once",
}
_OPENING: Final = """\
One YAML file holds the policy and the settings of the daemon: `plimsoll serve --config \
plimsoll.yml`. An empty file works, and so does none. `plimsoll check --config plimsoll.yml` lists \
every fault at once, each with its path, and tries the alert channels, the sources and the folder \
of the state. This example is `docs/plimsoll.example.yml`:"""
_WRITING: Final = f"""\
- Durations: `90s`, `30m`, `12h`, `30d`, `1w`, also together as `1h30m`, and `0`.
- `${{NAME}}` in a value is filled from the environment, `${{NAME:-x}}` is `x` where NAME is unset \
or empty, and `$${{` stands for `${{` itself. What is filled in is a value and never YAML; \
a missing variable is a fault.
- The place decides what a value is: `country: NO` is the text NO and `carrier: 010` the text 010, \
without quotes. True and false are written `true` and `false`.
- One value may stand where a list may: `type: order.submitted`.
- Nothing, `~` and `null` mean the default.
- Unknown and double keys, anchors, aliases, tags and a second document are refused, as are files \
of more than {DOCUMENT_BYTES >> 20} MiB, {NODES_MAX} values or {DEPTH_MAX} levels."""

_BUDGET: Final = """\
The false-alarm budget is `error_rate`, for a release as a whole. Metrics come for their part as \
they first appear in it: 6 % per `weight` (a critical one 12 %, a standard one 6 %) until 90 % are \
spent; the k-th one after that gets 6 / (pi^2 k^2) of the last 10 %. Promotion needs no budget: \
every metric that gates must be shown safe, each at `promotion_error_rate`.

Whether units were split as declared is judged beside the metrics, at `assignment_error_rate`. \
Send `assignment.made` once for each customer, session or order run that is put on a side, with \
that unit as its `subject`, before the release has done anything with it. Outcomes are no \
assignments: a canary that loses orders would look like an unfair split. The events that an \
`exposure:` names count as assignments too; where they are not fit for it, because a release can \
change how many come, write down what is: `assignment: {type: assignment.made}`."""


def configuration() -> str:
    """The page on the configuration file."""
    parts = [
        "# Configuration",
        GENERATED,
        _OPENING,
        f"```yaml\n{EXAMPLE.read_text(encoding='utf-8')}```",
        "## How values are written",
        _WRITING,
        "## Policy",
        (
            "The policy is what a judgement depends on; every verdict names its digest. Policies "
            "that mean the same have the same digest, in whatever order they are written."
        ),
        _table(POLICY_KEYS),
        "### `metrics`",
        (
            "A name of the [catalogue](catalogue.md) is changed key by key, and a release of the "
            "`service` it is named for is not promoted before the metric was seen. A list of names "
            "and of metrics with a `name:` means the same."
        ),
        _table(METRIC_KEYS),
        _BUDGET,
        "### `fixed_rule`",
        _table(RULE_KEYS),
        "### `services`",
        _table(SERVICE_KEYS),
        "### `limits`",
        _table(LIMIT_KEYS),
        "## Daemon",
        _table(DAEMON_KEYS),
        "### `alerts`",
        "A list of channels. Each names one of `webhook` and `alertmanager`.",
        _table(CHANNEL_KEYS),
        *_ways_in(),
    ]
    return "\n\n".join(parts) + "\n"


def _ways_in() -> tuple[str, ...]:
    """The part on where events come from."""
    return (
        "## Sources",
        (
            "What is posted needs no configuration. `sources` is a list of what is read; what the "
            "keys mean, with examples, is on the page on [sources](sources.md)."
        ),
        "### `sources`",
        _table(SOURCE_KEYS),
        "### `sources[].kafka`",
        _table(KAFKA_KEYS),
        "### `sources[].kafka.security`",
        _table(SECURITY_KEYS),
        "### `sources[].files`",
        _table(FILES_KEYS),
        "### `sources[].map`",
        "Every field but `name`, `where` and `each` is a path into the message or an expression.",
        _table(MAPPING_KEYS),
        "### Expressions",
        "An expression has one of `from`, `constant`, `join` and `seconds_between`.",
        _table(EXPRESSION_KEYS, needed="none"),
        "### Conditions",
        (
            "A condition of `where` is a value, a list of values of which it must have one, or "
            "some of these tests. Values are compared as texts."
        ),
        _table(CONDITION_KEYS, needed="none"),
        "### `otlp`",
        _table(OTLP_KEYS),
        "A rule for log records:",
        _table(LOG_KEYS),
        "A rule for spans:",
        _table(SPAN_KEYS),
        "A rule for metrics:",
        _table(METRIC_RULE_KEYS),
        "### `webhooks`",
        _table(WEBHOOK_KEYS),
        "### `deduplication`",
        _table(DEDUPLICATION_KEYS),
    )


def catalogue_page() -> str:
    """The page on the built-in catalogue."""
    metrics = catalogue()
    head = (
        "| metric | fed by | kind | worse | margin | unit | criticality |",
        "|---|---|---|---|---|---|---|",
    )
    segments = ", ".join(names[0] for names in DEFAULT_SEGMENTS)
    parts = [
        "# The built-in catalogue",
        GENERATED,
        (
            "What plimsoll judges without a policy. Send events of these types and it works; "
            "[a policy](configuration.md) changes any of it and adds metrics of your own. The "
            "definitions are in `analyzers/catalogue.yml`, written like the `metrics:` of a policy."
        ),
        "\n".join([*head, *(_row(metric) for metric in metrics)]),
        (
            f"Without other segments a metric is looked at in total and by each of {segments} that "
            "occurs. `critical` and `standard` metrics gate a release, `watch` never does. A "
            "margin in percent is relative to the baseline, a point is a hundredth of all events; "
            "harm up to the margin is still acceptable. What a metric has too little of to be "
            "judged by (a count without exposure, a gauge without history) is shown as indicative "
            "and gates nothing."
        ),
        "## What each one says, and why its margin",
        *(_entry(metric) for metric in metrics),
    ]
    return "\n\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """Every generated page by where it lies."""
    return {
        DOCS / "configuration.md": configuration(),
        DOCS / "catalogue.md": catalogue_page(),
    }


def margin(size: Margin, metric: Metric) -> str:
    """A margin in words.

    >>> margin(Margin(0.1, relative=True), catalogue()[0])
    '10 %'
    """
    if size.relative:
        return f"{100 * size.size:g} %"
    if metric.measure is Measure.VALUE or metric.kind is Kind.RATIO:
        return f"{size.size:g} absolute"
    points = 100 * size.size
    return f"{points:g} point" + ("" if points == 1 else "s")


def _table(keys: Iterable[Key[Any]], *, needed: str = "required") -> str:
    rows = [
        f"| `{key.name}` | {_cell(key.reader.form)} | {_cell(key.default) or needed} "
        f"| {_cell(key.says)} |"
        for key in keys
    ]
    return "\n".join(["| key | may be | default | what it says |", "|---|---|---|---|", *rows])


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def _row(metric: Metric) -> str:
    types = ", ".join(f"`{name}`" for name in metric.types) or "any"
    demanded = f"{metric.worse} | {margin(metric.margin, metric)}"
    if metric.measure is Measure.ASSIGNMENT:
        demanded = "neither | none"
    return (
        f"| `{metric.name}` | {types} | {metric.kind.value} | {demanded} "
        f"| {metric.unit} | {metric.criticality.value} |"
    )


def _entry(metric: Metric) -> str:
    said = [_SAYS[metric.measure]]
    if metric.answered_by:
        said.append(f"by `{metric.answered_by}` within {lasting(metric.deadline_s)}")
    if metric.measure is Measure.ASSIGNMENT:
        said.append("also by the `exposure` events of other metrics")
    if metric.cap is not None:
        said.append(f"each at most {metric.cap:g}")
    if metric.synthetic:
        said.append("of probes only")
    if metric.segments != DEFAULT_SEGMENTS:
        sets = "; ".join(" and ".join(names) for names in metric.segments)
        said.append(f"by {sets}" if sets else "in total only")
    return f"### `{metric.name}`\n\n{', '.join(said)}. {metric.reason}"


if __name__ == "__main__":
    for path, page in pages().items():
        path.write_text(page, encoding="utf-8")

"""Sources, OpenTelemetry, webhooks and de-duplication in a configuration; nothing secret leaks."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from collector.files.settings import FilesSettings
from collector.kafka.settings import KafkaSecurity, KafkaSettings
from collector.otlp.forms import OtlpForm
from collector.otlp.rules import LogRule, MetricRule, Names, SpanRule
from collector.source import Message
from pipeline.config import ConfigError, load, parse
from pipeline.config.inputs import Deduplication
from pipeline.config.sources import SourceSettings
from tests.unit.configured import fault, loaded, refused

KAFKA = "{brokers: b:9092, topics: orders}"
MAP = "{time: t, type: {constant: order.submitted}, service: {constant: erp}}"
SECRET = "hunter2-hunter2"
KEPT = "sources: [{kafka: {brokers: b:1, topics: t, security: {protocol: SSL, password: X}}}]"


def source(body: str) -> SourceSettings:
    """The only source of a definition in flow style."""
    (found,) = loaded(f"sources: [{{{body}}}]").sources
    return found


def source_fault(body: str) -> str:
    """The only fault of a source, without its path and line."""
    told = fault(f"sources: [{{{body}}}]").removeprefix("sources[0]").removesuffix(" (line 1)")
    return told.removeprefix(".").removeprefix(": ")


def test_without_sources_nothing_is_read_and_nothing_asked_for() -> None:
    settings = loaded("")
    assert (settings.sources, settings.webhooks) == ((), None)
    assert settings.otlp.grpc_port is None
    assert settings.deduplication == Deduplication(horizon_s=35 * 86_400, ids=20_000_000)


def test_everything_that_is_written_of_a_cluster_arrives(tmp_path: Path) -> None:
    file = tmp_path / "plimsoll.yml"
    file.write_text("""
sources:
  - name: erp
    reject_ratio: 0.2
    kafka:
      brokers: [kafka-1.example.com:9093, "[::1]:9093"]
      topics: [erp.orders]
      patterns: "wms\\\\..*"
      group: judge
      start: 2026-05-21T10:00:00Z
      security:
        mechanism: SCRAM-SHA-512
        username: plimsoll
        password: ${KAFKA_PASSWORD}
        ca: certs/ca.pem
        certificate: /etc/ours.pem
        key: ~/ours.key
        key_password: $${x
      partition_bytes: 2048
      fetch_bytes: 4096
      batch_bytes: 8192
      partitions: 7
""")
    (found,) = load(file, {"KAFKA_PASSWORD": SECRET, "HOME": "/h/ann"}).sources
    assert (found.name, found.reject_ratio, found.mapped) == ("erp", 0.2, None)
    reads = found.reads
    assert isinstance(reads, KafkaSettings)
    assert (reads.name, reads.group, reads.form) == ("erp", "judge", None)
    assert reads.brokers == ("kafka-1.example.com:9093", "[::1]:9093")
    assert (reads.topics, reads.patterns) == (("erp.orders",), (r"wms\..*",))
    assert reads.start == 1779357600_000_000_000
    assert reads.security == KafkaSecurity(
        protocol="SASL_SSL",
        mechanism="SCRAM-SHA-512",
        username="plimsoll",
        password=SECRET,
        ca=tmp_path / "certs/ca.pem",
        certificate=Path("/etc/ours.pem"),
        key=Path("/h/ann/ours.key"),
        key_password="${x",
    )
    client = reads.client
    assert (client.partition_bytes, client.fetch_bytes, client.batch_bytes) == (2048, 4096, 8192)
    assert client.partitions == 7
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("security", "protocol"),
    [
        ("{}", "PLAINTEXT"),
        ("{ca: c.pem}", "SSL"),
        ("{protocol: SSL}", "SSL"),
        ("{username: u, password: p, mechanism: PLAIN}", "SASL_SSL"),
        ("{protocol: SASL_PLAINTEXT, username: u, password: p, mechanism: PLAIN}",
         "SASL_PLAINTEXT"),
    ],
)  # fmt: skip
def test_the_protocol_follows_from_what_is_given(security: str, protocol: str) -> None:
    reads = source(f"kafka: {{brokers: b:1, topics: t, security: {security}}}").reads
    assert isinstance(reads, KafkaSettings)
    assert reads.security.protocol == protocol


def test_files_may_be_named_in_short_and_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "p.yml"
    file.write_text("sources: [{files: in/*.ndjson}, {files: ['-']}, {files: {paths: [/a, ~/b],"
                    " follow: false, most: 3}, name: x}]")  # fmt: skip
    first, stdin, third = load(file, {"HOME": "/h/ann"}).sources
    assert first.reads == FilesSettings("files-ndjson", (f"{tmp_path}/in/*.ndjson",))
    assert stdin.reads == FilesSettings("files-stdin", ("-",))
    assert third.reads == FilesSettings("x", ("/a", "/h/ann/b"), follow=False, most=3)


def test_a_mapped_source_has_its_form() -> None:
    found = source(f"kafka: {KAFKA}, map: {MAP}")
    assert found.name == "kafka-orders"
    assert found.mapped is not None
    form = found.reads.form
    assert form is not None
    (line,) = form(Message(b'{"t":1779357600000}', "orders/0@7")).lines
    assert json.loads(line) == {
        "id": "orders/0@7", "time": 1779357600000, "type": "order.submitted", "service": "erp",
    }  # fmt: skip


def test_a_source_of_opentelemetry_has_the_form_of_its_signal() -> None:
    for name in ("otlp_logs", "otlp_metrics", "otlp_traces"):
        assert isinstance(source(f"kafka: {KAFKA}, format: {name}").reads.form, OtlpForm)
    assert source(f"kafka: {KAFKA}, format: otlp_logs, encoding: json").reads.form is not None
    assert source(f"kafka: {KAFKA}, format: native").reads.form is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("name: x", "must name either `kafka:` or `files:`"),
        (f"kafka: {KAFKA}, files: a", "must name either `kafka:` or `files:`"),
        ("kafka: {topics: t}", "kafka.brokers: is missing: name a broker"),
        ("kafka: {brokers: b:9}", "kafka: names nothing to read: give `topics:` or `patterns:`"),
        ("kafka: {brokers: b, topics: t}", "kafka.brokers: must be a host and its port"),
        ("kafka: {brokers: b:0, topics: t}", "kafka.brokers: names the port 0"),
        ("kafka: {brokers: b:9, topics: a/b}", "kafka.topics: must be the name of a topic"),
        ("kafka: {brokers: b:9, patterns: '('}", "kafka.patterns: is no regular expression"),
        ("kafka: {brokers: b:9, topics: t, start: soon}", "kafka.start: must be earliest, latest"),
        ("kafka: {brokers: b:9, topics: t, topic: x}", "kafka.topic: is no known key; did you"),
        ("files: []", "files.paths: names nothing"),
        ("files: {follow: true}", "files.paths: names nothing"),
        ("files: [a, '-']", "files.paths: names standard input beside others"),
        (f"kafka: {KAFKA}, every: true", "every: means nothing without map"),
        (f"kafka: {KAFKA}, encoding: json", "encoding: belongs to otlp_logs"),
        (f"kafka: {KAFKA}, map: {MAP}, format: native", "format: is what `map` says already"),
        (f"kafka: {KAFKA}, reject_ratio: 0", "reject_ratio: must be a number above 0"),
        (f"kafka: {KAFKA}, name: a/b", "name: must be a name of letters"),
    ],
)
def test_a_source_that_cannot_work_is_a_fault_with_its_path(body: str, told: str) -> None:
    assert source_fault(body).startswith(told)


@pytest.mark.parametrize(
    ("security", "told"),
    [
        ("{username: u, mechanism: PLAIN}", "password: is missing, which SASL_SSL needs"),
        ("{username: u, password: p}", "mechanism: is missing, which SASL_SSL needs"),
        ("{protocol: SSL, username: u}", "username: is never sent with SSL"),
        ("{protocol: PLAINTEXT, ca: x}", "ca: means nothing with PLAINTEXT"),
        ("{protocol: SSL, key: x}", "key: has no certificate beside it"),
        ("{protocol: SSL, key_password: x}", "key_password: is of no key"),
    ],
)
def test_what_does_not_go_together_about_security_is_a_fault(security: str, told: str) -> None:
    body = f"kafka: {{brokers: b:1, topics: t, security: {security}}}"
    assert source_fault(body).startswith(f"kafka.security.{told}")


def test_sources_are_a_list_with_names_that_differ() -> None:
    assert "must be a list: begin each source with `- `" in fault(f"sources: {{kafka: {KAFKA}}}")
    twice = fault(f"sources: [{{kafka: {KAFKA}}}, {{kafka: {KAFKA}}}]")
    assert "sources[1]: is the second source called 'kafka-orders': give it a `name:`" in twice
    many = fault(f"sources: [{', '.join(f'{{files: f{i}}}' for i in range(51))}]")
    assert "has 51 sources: at most 50 are read" in many


@pytest.mark.parametrize(
    "text",
    [
        f"webhooks: {{github: {SECRET}}}",
        f"webhooks: {{gitlab: [{SECRET}]}}",
        f'webhooks: {{github: {{secret: "{SECRET}\\n"}}}}',
        KEPT.replace("X", f"[{SECRET}]"),
        KEPT.replace("X", SECRET),
    ],
)
def test_no_fault_repeats_a_secret(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), {})
    assert SECRET not in "".join(traceback.format_exception_only(caught.value))


def test_the_secrets_of_webhooks_arrive_and_are_not_shown() -> None:
    settings = loaded("webhooks: {github: {secret: '${G}'}, gitlab: {token: tok}}", {"G": SECRET})
    assert settings.webhooks is not None
    assert (settings.webhooks.github, settings.webhooks.gitlab) == (SECRET, "tok")
    assert SECRET not in repr(settings)
    assert "webhooks.github.secret: is missing" in fault("webhooks: {github: {secret: }}")


def test_rules_for_opentelemetry_arrive() -> None:
    otlp = loaded("""
otlp:
  grpc: 4317
  logs: {event_name: order.placed, type: order.submitted, fields: {value: order.total}}
  spans:
    - {span: POST /orders, where: {http.route: /orders}, type: api.called}
  metrics:
    - {metric: queue.depth, type: queue.sampled, factor: 2}
    - {metric: orders, type: order.submitted, counted: true}
""").otlp
    assert otlp.grpc_port == 4317
    assert otlp.rules.logs == (
        LogRule("order.submitted", "order.placed", names=Names(value="order.total")),
    )
    assert otlp.rules.spans == (
        SpanRule("api.called", "POST /orders", (("http.route", "/orders"),)),
    )
    assert otlp.rules.metrics == (
        MetricRule("queue.sampled", "queue.depth", factor=2.0),
        MetricRule("order.submitted", "orders", counted=True),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("otlp: {grpc: x}", "otlp.grpc: must be a whole number from 0 to 65535"),
        ("otlp: {logs: {type: x}}", "otlp.logs: fits every log record"),
        ("otlp: {spans: [{type: x}]}", "otlp.spans[0]: fits every span"),
        ("otlp: {metrics: [{type: x}]}", "otlp.metrics[0].metric: is missing"),
        ("otlp: {spans: [{span: a, fields: {valu: x}}]}", "did you mean value?"),
        ("otlp: {spans: [{span: a, where: x}]}", "must be a mapping of at most 32 attributes"),
        ("deduplication: {horizon: 1m}", "deduplication.horizon: must be a duration from 1h"),
        ("deduplication: {ids: 1}", "deduplication.ids: must be a whole number from 1000"),
    ],
)
def test_what_is_posted_is_described_rightly_or_a_fault(text: str, told: str) -> None:
    assert told in fault(text)


def test_deduplication_is_bounded_in_time_and_number() -> None:
    found = loaded("deduplication: {horizon: 24h, ids: 5000}").deduplication
    assert found == Deduplication(horizon_s=86_400, ids=5_000)


def test_every_fault_of_all_sources_is_told_at_once() -> None:
    faults = refused("""
sources:
  - kafka: {brokers: b, topics: t}
    map: {time: a..b, type: order.submitted, service: {constant: x}}
  - files: x
    map: {time: t, type: {constant: a, from: b}, service: {constant: x}, value: {unit: ms}}
""")
    assert [one.path for one in faults] == [
        "sources[0].kafka.brokers",
        "sources[0].map.time",
        "sources[0].map.type",
        "sources[1].map.type",
        "sources[1].map.value",
    ]


def test_a_file_that_two_sources_read_is_a_fault() -> None:
    text = (
        "sources:\n  - {name: a, files: /in/orders}\n  - {name: b, files: [/in/edi, /in/orders]}\n"
    )
    assert "another source reads" in fault(text)

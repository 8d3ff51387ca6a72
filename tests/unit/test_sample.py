"""``plimsoll check --sample``: what a source makes of recorded messages, row by row."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipeline import sample_text
from pipeline.cli import main
from pipeline.config import parse
from pipeline.sample import Sample, SampleError, sampled

CONFIG = """
sources:
  - name: erp
    kafka: {brokers: b:9092, topics: orders}
    map:
      where: {art: AUFTRAG}
      id: nr
      time: {from: zeit, format: local, zone: Europe/Berlin}
      type: {constant: order.submitted}
      service: {constant: erp}
      version: $header.release
      value: {from: betrag, decimal: ","}
      attributes: {warehouse: werk}
  - name: plain
    files: orders
metrics:
  w1: {kind: count, type: order.submitted, where: {warehouse: W1}, unit: orders}
"""
ROWS: list[dict[str, Any]] = [
    {"art": "AUFTRAG", "nr": "A-1", "zeit": "21.05.2026 10:00", "betrag": "12,5", "werk": "W1",
     "kopf": {"user": "x"}},
    {"art": "STORNO", "nr": "A-2"},
    {"art": "AUFTRAG", "nr": "A-3", "zeit": "21.05.2026 10:01", "betrag": "abc", "werk": "W2"},
    {"art": "AUFTRAG", "nr": "A-1", "zeit": "21.05.2026 10:00", "betrag": "12,5", "werk": "W1"},
    {"art": "AUFTRAG", "nr": "A-1", "zeit": "21.05.2026 10:02", "betrag": "13", "werk": "W2"},
]  # fmt: skip
NATIVE = {
    "id": "1", "time": "2026-05-21T10:00:00Z", "type": "order.confirmed", "service": "api",
    "attributes": {"tenant": "t"}, "extra": 1,
}  # fmt: skip
MARKER = {
    "id": "m", "time": "2026-05-21T10:00:00Z", "type": "deployment.started", "service": "api",
    "version": "2", "deployment": "d",
}  # fmt: skip


def ndjson(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def looked(data: bytes, config: str = CONFIG, **more: Any) -> Sample:
    """What is made of a stream on standard input."""
    settings = parse(config.encode(), {})
    return sampled(Path("-"), settings, stdin=io.BytesIO(data), **more)


UNFED = """
metrics:
  w1: {kind: count, type: order.submitted, where: {warehouse: W1}}
  w9: {kind: count, type: order.submitted, where: {warehouse: W9}}
  value: {kind: amount, type: order.confirmed, worse: lower}
  returns: {kind: ratio, type: order.returned, worse: higher, over: w1}
  event_flow:
"""


@pytest.fixture
def found() -> Sample:
    return looked(ndjson(ROWS), source="erp")


def test_metrics_of_the_policy_that_the_sample_does_not_feed_are_named() -> None:
    order = {**NATIVE, "type": "order.submitted", "attributes": {"warehouse": "W1"}}
    found = looked(ndjson([NATIVE, order]), UNFED)
    assert "w1" in found.summary.metrics
    assert found.summary.unfed == ("returns", "value", "w9")
    assert "metrics that nothing feeds: returns, value, w9" in sample_text.summary(found)
    every = looked(ndjson([order]), "metrics: [order_submission_success]")
    assert every.summary.unfed == ()


def test_a_metric_that_somebody_wrote_and_no_row_feeds_is_a_fault_with_a_remedy(
    tmp_path: Path,
) -> None:
    order = {**NATIVE, "type": "order.submitted", "attributes": {"warehouse": "W1"}}
    found = looked(ndjson([NATIVE, order]), UNFED)
    assert [fault.split(":")[0] for fault in found.faults] == [
        "metrics.returns", "metrics.value", "metrics.w9",
    ]  # fmt: skip
    assert "no row of the sample feeds it: correct its `type:`" in found.faults[0]
    assert "1 rows would feed it and have no value: give them one" in found.faults[1]
    assert list(sample_text.summary(found))[-1] == f"fault  {found.faults[2]}"
    assert not found.ok
    assert looked(ndjson([order]), "metrics: [query_time]").ok
    config, sample = tmp_path / "p.yml", tmp_path / "s.ndjson"
    config.write_text("metrics: {w9: {kind: proportion, type: order.submited}}")
    sample.write_bytes(ndjson([order]))
    with pytest.raises(SystemExit) as ended:
        main(["check", "--config", str(config), "--sample", str(sample)])
    assert ended.value.code == 1


def test_what_another_source_may_feed_is_no_fault_of_this_one() -> None:
    own = "metrics: {w9: {kind: count, type: order.submitted, where: {warehouse: W9}}}"
    told = "{name: a, files: '-', map: {time: t, type: {constant: x}, service: s}}"
    for other, fed in (
        ("{name: b, files: b}", True),
        (
            "{name: b, files: b, map: {time: t, type: ty, service: s, attributes: {warehouse: w}}}",
            True,
        ),
        ("{name: b, files: b, map: {time: t, type: {constant: y}, service: s}}", False),
    ):
        found = looked(ndjson([NATIVE]), f"sources: [{told}, {other}]\n{own}", source="a")
        assert found.summary.unfed == ("w9",)
        assert (found.faults == ()) is fed
    rules = "otlp: {spans: {span: x, type: order.submitted}}"
    assert looked(ndjson([NATIVE]), f"{rules}\n{own}").faults == ()


def test_each_row_says_what_becomes_of_it(found: Sample) -> None:
    assert [(one.row, one.result, one.reason) for one in found.shown] == [
        (1, "event", ""),
        (2, "ignored", "not_wanted"),
        (3, "refused", "mapping"),
        (4, "event", ""),
        (5, "event", ""),
    ]
    first, _, third, *_ = found.shown
    assert first.event == {
        "id": "A-1", "time": "2026-05-21T08:00:00.000Z", "type": "order.submitted",
        "service": "erp", "environment": "production", "outcome": "ok", "value": 12.5,
        "attributes": {"warehouse": "W1"},
    }  # fmt: skip
    assert first.metrics == ("order_throughput", "order_submission_success",
                             "order_confirmation_rate", "w1")  # fmt: skip
    assert "map.value: field betrag: 'abc' is not a number" in third.why
    assert not found.ok


def test_the_summary_counts_all_of_it(found: Sample) -> None:
    summary = found.summary
    assert (summary.rows, summary.events, summary.markers) == (5, 3, 0)
    assert (summary.ignored, summary.refused) == ({"not_wanted": 1}, {"mapping": 1})
    assert summary.first_refused["mapping"].startswith("row 3: map.value: field betrag")
    assert (summary.duplicates, summary.conflicts) == (1, 1)
    assert summary.types == {"order.submitted": 3}
    assert summary.metrics == {
        "order_throughput": 3, "order_submission_success": 3, "order_confirmation_rate": 3, "w1": 2,
    }  # fmt: skip
    assert summary.attributes == {"warehouse": ("W1", "W2")}
    assert summary.unused == {"kopf.user": 1}


def test_events_of_our_own_format_need_no_source() -> None:
    found = looked(ndjson([NATIVE, MARKER, {"id": "2"}]), "")
    assert [(one.row, one.result) for one in found.shown] == [
        (1, "event"), (2, "marker"), (3, "refused"),
    ]  # fmt: skip
    assert found.shown[1].event["deployment"] == "d"
    assert found.summary.without_value == {"order_confirmation_time": 1}
    assert found.summary.unused["extra"] == 1
    assert found.summary.attributes == {"tenant": ("t",)}


def test_only_the_rows_asked_for_are_shown_and_all_are_counted() -> None:
    found = looked(ndjson([NATIVE] * 50), "", rows=3)
    assert [one.row for one in found.shown] == [1, 2, 3]
    assert found.summary.events == 50
    assert looked(ndjson([NATIVE]), "", rows=0).shown == ()


def test_what_kcat_wrote_has_its_headers_time_and_place() -> None:
    row = {
        "topic": "orders", "partition": 3, "offset": 7, "tstype": "create", "ts": 1779357600000,
        "headers": ["release", "1.42.0"], "payload": json.dumps(ROWS[0]), "key": None,
    }  # fmt: skip
    found = looked(ndjson([row, {**row, "payload": None}]), source="erp")
    assert found.shown[0].event["version"] == "1.42.0"
    assert found.summary.ignored == {"tombstone": 1}


def test_a_list_in_a_message_gives_many_lines_of_one_row() -> None:
    config = """
sources:
  - files: in
    map:
      each: lines
      time: $message.t
      type: {constant: stock.reserved}
      service: {constant: wms}
      subject: sku
"""
    row = {"t": 1779357600000, "lines": [{"sku": "a", "bin": 1}, {"sku": "b", "bin": 2}]}
    found = looked(ndjson([row, row]), config)
    assert [(one.row, one.event["subject"]) for one in found.shown] == [
        (1, "a"), (1, "b"), (2, "a"), (2, "b"),
    ]  # fmt: skip
    assert found.summary.unused == {"lines.*.bin": 2}
    assert found.ok


@pytest.mark.parametrize("ending", [".ndjson", ".ndjson.gz", ".json", ".parquet"])
def test_a_sample_may_be_any_file_that_holds_a_stream(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"sample{ending}"
    rows = [NATIVE, {**NATIVE, "id": "2"}]
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist([{**row, "attributes": None} for row in rows]), path)
    elif ending == ".json":
        path.write_text(json.dumps(rows, indent=1))
    else:
        data = ndjson(rows)
        path.write_bytes(gzip.compress(data) if ending.endswith(".gz") else data)
    assert sampled(path, parse(b"", {})).summary.events == 2


def test_a_damaged_file_is_a_refused_row(tmp_path: Path) -> None:
    path = tmp_path / "sample.ndjson.gz"
    path.write_bytes(gzip.compress(ndjson([{**NATIVE, "id": f"{n}"} for n in range(999)]))[:-40])
    assert sampled(path, parse(b"", {})).summary.refused == {"truncated": 1}


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (None, r"several sources \(erp, plain\): name one with --source"),
        ("wms", "there is no source 'wms'; there are erp, plain"),
    ],
)
def test_a_source_that_is_not_clear_is_asked_for(source: str | None, why: str) -> None:
    with pytest.raises(SampleError, match=why):
        looked(b"{}", source=source)


def test_a_file_that_is_not_there_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"absent\.ndjson does not exist"):
        sampled(tmp_path / "absent.ndjson", parse(b"", {}))


def test_the_words_for_people_name_everything(found: Sample) -> None:
    said = "\n".join(sample_text.lines(found))
    for words in (
        "row 1: event type=order.submitted service=erp", "id=A-1",
        "-> order_throughput, order_submission_success, order_confirmation_rate, w1",
        "row 2: ignored not_wanted", "row 3: refused mapping: map.value: field betrag",
        "erp: 5 rows, 3 events, 0 markers, 1 ignored, 1 refused",
        "duplicates: 1 (they count once)", "conflicts: 1 events have the id of another one",
        "attribute warehouse: 'W1', 'W2'", "fields never used: kopf.user 1",
    ):  # fmt: skip
        assert words in said


def test_a_terminal_gets_a_table(found: Sample) -> None:
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=100, markup=False).print(sample_text.table(found))
    said = out.getvalue()
    assert "what it says, or why not" in said
    assert "refused" in said
    assert "fields never used" in said


def test_what_would_upset_a_terminal_is_escaped() -> None:
    row = {**NATIVE, "\x1b[2J": 1, "attributes": {"a\x1b": "b"}}
    said = "\n".join(sample_text.lines(looked(ndjson([row]), "")))
    assert "\x1b" not in said


def ran(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(["check", *arguments])
    return ended.value.code


def test_the_command_ends_with_1_if_anything_was_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, good, bad = tmp_path / "p.yml", tmp_path / "good.ndjson", tmp_path / "bad.ndjson"
    config.write_text(CONFIG)
    good.write_bytes(ndjson(ROWS[:2]))
    bad.write_bytes(ndjson(ROWS))
    named = ("--config", str(config), "--source", "erp", "--sample")
    assert ran(*named, str(good)) == 0
    assert ran(*named, str(bad), "--format", "json", "--rows", "1") == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["summary"]["refused"] == {"mapping": 1}
    assert [one["row"] for one in told["shown"]] == [1]


def test_the_command_says_what_keeps_it_from_looking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "p.yml"
    config.write_text("sources: [{}]\n")
    assert ran("--config", str(config), "--sample", "-") == 1
    assert "sources[0]: must name either" in capsys.readouterr().out
    assert ran("--sample", str(tmp_path / "absent")) == 2
    assert "does not exist" in capsys.readouterr().err
    assert ran("--source", "erp") == 2
    assert "--source and --format belong to --sample" in capsys.readouterr().err

"""Parquet files give the same events as the JSON lines that say the same."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analyzers.facts import Batch
from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.files import recorded as files
from collector.files.recorded import Chunk, FormatError
from tests.payloads import decoded, event, marker

NOON_NS = 1_779_364_800_000_000_000


def written(folder: Path, **columns: Any) -> Path:
    """A Parquet file of two events with some columns changed; a column set to ... is left out."""
    plain: dict[str, Any] = {
        "id": ["a", "b"],
        "time": ["2026-05-21T12:00:00Z"] * 2,
        "type": ["order.submitted"] * 2,
        "service": ["order-api"] * 2,
    }
    said = {name: values for name, values in (plain | columns).items() if values is not ...}
    pq.write_table(pa.table(said), folder / "stream.parquet")
    return folder / "stream.parquet"


def chunks(path: Path) -> list[Chunk]:
    return list(files.read([path], limits=Limits()))


def read(path: Path, *attributes: str) -> Batch:
    payloads = [payload for chunk in chunks(path) for payload in chunk.payloads]
    return decode(payloads, attributes=frozenset(attributes), limits=Limits())


def test_rows_say_what_the_same_lines_say(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        environment=["staging", None],
        version=pa.array(["1.42.0", "1.42.0"]).dictionary_encode(),
        track=pa.array(["canary", None], pa.large_string()),
        outcome=["failed", None],
        value=[12.5, None],
        subject=["INV-9", None],
        ref=[None, "a"],
        synthetic=[True, None],
        other=[1, 2],
        **{"attributes.region": ["eu", None], "attributes.warehouse": ["W1", "W2"]},
    )
    lines = decoded(
        event(
            id="a",
            environment="staging",
            version="1.42.0",
            track="canary",
            outcome="failed",
            value=12.5,
            subject="INV-9",
            synthetic=True,
            attributes={"region": "eu", "warehouse": "W1"},
        ),
        event(id="b", version="1.42.0", ref="a", attributes={"warehouse": "W2"}),
    )
    rows = read(path, "region", "warehouse")
    assert not rows.rejects
    assert rows.facts.key.tolist() == lines.facts.key.tolist()
    assert rows.facts.content.tolist() == lines.facts.content.tolist()
    assert rows.facts.attributes["region"].strings() == ["eu", ""]


@pytest.mark.parametrize(
    "attributes",
    [
        pa.array([{"region": "eu", "warehouse": None}, None]),
        pa.array([[("region", "eu")], None], pa.map_(pa.string(), pa.string())),
        pa.array([[("region", "eu"), ("x", None)], []], pa.map_(pa.string(), pa.string())),
    ],
    ids=["struct", "map", "map with null"],
)
def test_attributes_may_be_a_struct_or_a_map(tmp_path: Path, attributes: Any) -> None:
    batch = read(written(tmp_path, attributes=attributes), "region")
    assert batch.facts.attributes["region"].strings() == ["eu", ""]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "+05:30"])
def test_a_timestamp_with_a_zone_is_a_time(tmp_path: Path, unit: str, zone: str) -> None:
    noon = NOON_NS // 10 ** {"s": 9, "ms": 6, "us": 3, "ns": 0}[unit]
    path = written(tmp_path, time=pa.array([noon, noon + 1], pa.timestamp(unit, zone)))
    step = 10 ** {"s": 9, "ms": 6, "us": 3, "ns": 0}[unit]
    step = step if unit != "s" else 10**9
    assert read(path).facts.time_ns.tolist() == [NOON_NS, NOON_NS + step]


def test_an_integer_is_a_time_in_milliseconds(tmp_path: Path) -> None:
    path = written(tmp_path, time=[NOON_NS // 10**6, NOON_NS // 10**6 + 1])
    assert read(path).facts.time_ns.tolist() == [NOON_NS, NOON_NS + 10**6]


def test_a_timestamp_without_a_zone_is_refused_for_that(tmp_path: Path) -> None:
    path = written(tmp_path, time=pa.array([NOON_NS // 10**6] * 2, pa.timestamp("ms")))
    assert [reject.reason for reject in read(path).rejects] == ["time_without_zone"] * 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_no_finite_number_is_refused_for_that(tmp_path: Path, value: float) -> None:
    batch = read(written(tmp_path, value=[value, 1.0]))
    assert [reject.reason for reject in batch.rejects] == ["value_not_finite"]
    assert batch.facts.value.tolist() == [1.0]


def test_values_may_be_whole_numbers_or_decimals(tmp_path: Path) -> None:
    whole = read(written(tmp_path, value=pa.array([3, None], pa.int32())))
    assert whole.facts.value[0] == 3
    exact = read(written(tmp_path, value=pa.array(["1.25", None]).cast(pa.decimal128(9, 2))))
    assert exact.facts.value[0] == 1.25


def test_texts_may_be_plain_bytes(tmp_path: Path) -> None:
    batch = read(written(tmp_path, version=pa.array([b"1.42.0", None], pa.binary())))
    assert batch.facts.version.strings() == ["1.42.0", ""]


def test_a_column_of_the_wrong_kind_refuses_its_rows_and_no_others(tmp_path: Path) -> None:
    assert {r.reason for r in read(written(tmp_path, id=[1, 2])).rejects} == {"field_type"}
    batch = read(written(tmp_path, **{"attributes.shelf": [7, None]}))
    assert [reject.reason for reject in batch.rejects] == ["attributes_invalid"]


def test_markers_may_stand_among_the_rows(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        type=["order.submitted", "deployment.started"],
        deployment=[None, "d-42"],
        version=["1.42.0", "1.42.0"],
        strategy=[None, "ring"],
        share=[None, 0.1],
        cohort=pa.array(
            [None, [("warehouse", ["W1"])]], pa.map_(pa.string(), pa.list_(pa.string()))
        ),
    )
    batch = read(path)
    said = marker(id="b", strategy="ring", share=0.1, cohort={"warehouse": ["W1"]})
    assert batch.markers == decoded(said).markers
    assert len(batch.facts) == 1


def test_a_parquet_file_without_rows_holds_no_events(tmp_path: Path) -> None:
    assert chunks(written(tmp_path, **dict.fromkeys(("id", "time", "type", "service"),
                                                    pa.array([], pa.string())))) == []  # fmt: skip


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"stream\.parquet is .* no column id and no column time"):
        chunks(written(tmp_path, id=..., time=...))


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    columns = [pa.array(["a"])] * 5
    table = pa.Table.from_arrays(columns, names=["id", "time", "type", "service", "id"])
    pq.write_table(table, tmp_path / "stream.parquet")
    with pytest.raises(FormatError, match="two of its columns have the same name; rename"):
        chunks(tmp_path / "stream.parquet")


@pytest.mark.parametrize("content", [b"id,time\n", b"PAR1" + bytes(50)], ids=["text", "no end"])
def test_a_parquet_file_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "stream.parquet"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"stream\.parquet is no Parquet file of events: it can"):
        chunks(path)


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match="no Parquet file of events: it cannot be read"):
        chunks(path)


def test_of_a_damaged_parquet_file_the_rows_before_the_damage_are_used(tmp_path: Path) -> None:
    path = tmp_path / "stream.parquet"
    rows = 30_000
    columns = {
        "id": [f"o-{i}" for i in range(rows)],
        "time": ["2026-05-21T12:00:00Z"] * rows,
        "type": ["order.submitted"] * rows,
        "service": ["order-api"] * rows,
    }
    pq.write_table(pa.table(columns), path, row_group_size=10_000, compression="snappy")
    content = bytearray(path.read_bytes())
    begin = pq.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    content[begin : begin + 400] = b"\xff" * 400
    path.write_bytes(bytes(content))
    read_chunks = chunks(path)
    assert sum(len(chunk.payloads) for chunk in read_chunks) >= 10_000
    (reject,) = [reject for chunk in read_chunks for reject in chunk.rejects]
    assert reject.reason == "truncated"
    assert "rows it cannot be read as Parquet" in reject.detail


def test_progress_reaches_the_size_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    told: list[tuple[int, int]] = []
    list(files.read([path], limits=Limits(), progress=lambda *now: told.append(now)))
    size = path.stat().st_size
    assert told[-1] == (size, size)


def test_parquet_on_standard_input_is_refused(tmp_path: Path) -> None:
    stdin = io.BytesIO(written(tmp_path).read_bytes())
    with pytest.raises(FormatError, match="- gives Parquet, which is read from its end; name a fi"):
        list(files.read([Path("-")], limits=Limits(), stdin=stdin))

"""Builds pipeline/demo/data/orders.parquet, the orders that ``plimsoll demo`` replays.

Run it from the root of the repository, with the UCI Online Retail set as Parquet, CSV or the
original workbook (reading a workbook needs openpyxl)::

    python docs/data/build_orders.py "Online Retail.xlsx" pipeline/demo/data/orders.parquet

The same input gives the same rows. What is changed, and the licence: pipeline/demo/data/README.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

FIRST = pd.Timestamp("2010-12-01")
BEYOND = pd.Timestamp("2011-08-01")
COLUMNS = ["InvoiceNo", "InvoiceDate", "CustomerID", "Country", "Quantity", "UnitPrice"]
SCHEMA = pa.schema(
    [
        pa.field("invoice", pa.int32(), nullable=False),
        pa.field("cancelled", pa.bool_(), nullable=False),
        pa.field("time", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("customer", pa.int32()),
        pa.field("country", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("lines", pa.int32(), nullable=False),
        pa.field("pence", pa.int32(), nullable=False),
    ],
    metadata={
        "source": "UCI Machine Learning Repository, Online Retail, doi 10.24432/C5BW33",
        "licence": "CC BY 4.0",
    },
)


def order_lines(source: Path) -> pd.DataFrame:
    """The order lines of the set, columns ``COLUMNS``, only the shipped months."""
    if source.suffix == ".parquet":
        lines = pd.read_parquet(source, columns=COLUMNS)
    elif source.suffix == ".csv":
        lines = pd.read_csv(source, usecols=COLUMNS, parse_dates=["InvoiceDate"])
    else:
        lines = pd.read_excel(source, usecols=COLUMNS)
    lines["InvoiceNo"] = lines["InvoiceNo"].astype(str)
    return lines[(lines["InvoiceDate"] >= FIRST) & (lines["InvoiceDate"] < BEYOND)]


def invoices(lines: pd.DataFrame) -> pa.Table:
    """One row per invoice, in order of time and number, with schema ``SCHEMA``.

    Prices have up to three decimals, so tenths of a penny are summed as integers and rounded once.
    Nothing was sold between midnight and six, so no local time is skipped or met twice when the
    clocks change; pandas would raise if one were.
    """
    tenths = (lines["UnitPrice"] * 1000).round().astype("int64") * lines["Quantity"]
    by_invoice = lines.assign(tenths=tenths).groupby("InvoiceNo", sort=False)
    rows = by_invoice.agg(
        local=("InvoiceDate", "min"),
        customer=("CustomerID", "first"),
        country=("Country", "first"),
        lines=("Quantity", "size"),
        tenths=("tenths", "sum"),
    ).reset_index()
    rows["cancelled"] = rows["InvoiceNo"].str.startswith("C")
    rows["invoice"] = rows["InvoiceNo"].str.removeprefix("C").astype("int32")
    rows["time"] = rows["local"].dt.tz_localize("Europe/London").dt.tz_convert("UTC")
    rows["customer"] = rows["customer"].astype("Int32")
    rows["pence"] = (rows["tenths"] / 10).round().astype("int32")
    rows = rows.sort_values(["time", "invoice"], kind="stable")
    columns = {
        field.name: pa.array(rows[field.name], from_pandas=True).cast(field.type)
        for field in SCHEMA
        if field.name != "country"
    }
    columns["country"] = pa.array(rows["country"]).cast(pa.string()).dictionary_encode()
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def main() -> int:
    """The exit code: 0 when the file was written."""
    if len(sys.argv) != 3:
        raise SystemExit("usage: build_orders.py SOURCE TARGET.parquet")
    table = invoices(order_lines(Path(sys.argv[1])))
    pq.write_table(
        table,
        sys.argv[2],
        compression="zstd",
        compression_level=19,
        use_dictionary=["country", "customer", "lines"],
        column_encoding={
            "invoice": "DELTA_BINARY_PACKED",
            "time": "DELTA_BINARY_PACKED",
        },
    )
    sys.stdout.write(f"{table.num_rows} invoices, {Path(sys.argv[2]).stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

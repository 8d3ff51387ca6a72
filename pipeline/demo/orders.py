"""The real orders that ship with the package, as values.

Reading the shipped file lives here. Nothing is invented or drawn: what the demo adds to the orders
belongs to ``story.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files

import pyarrow.compute as pc
import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class Order:
    """One order of the distributor: a sales invoice.

    ``time_s`` is UTC in seconds since 1970, on a full minute; ``customer`` is None where the
    source names none; ``pence`` is the amount in pence of a pound, above zero.
    """

    invoice: int
    time_s: int
    customer: int | None
    country: str
    lines: int
    pence: int

    @property
    def subject(self) -> str:
        """Whose order it is: its customer, or itself where no customer is known."""
        return f"invoice-{self.invoice}" if self.customer is None else f"customer-{self.customer}"


def shipped_orders() -> tuple[Order, ...]:
    """All shipped orders by time and number; cancellations and write-offs of stock left out."""
    with as_file(files("pipeline.demo.data") / "orders.parquet") as path:
        table = pq.read_table(path)
    sold = pc.and_(pc.invert(table["cancelled"]), pc.greater(table["pence"], 0))
    table = table.filter(sold)
    time_s = table["time"].cast("int64").to_numpy() // 1000
    columns = (table[name].to_pylist() for name in ("customer", "country", "lines", "pence"))
    return tuple(map(Order, table["invoice"].to_pylist(), time_s.tolist(), *columns))

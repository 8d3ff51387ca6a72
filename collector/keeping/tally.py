"""Totals kept beside the rows of the state file, where counting rows would read all of them.

Every function takes the connection of a transaction that its caller has begun.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict


def add(db: sqlite3.Connection, name: str, amount: int) -> None:
    """Adds to a total."""
    if amount:
        db.execute(
            "INSERT INTO tally (name, total) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET total = total + excluded.total",
            (name, amount),
        )


def totals(db: sqlite3.Connection) -> defaultdict[str, int]:
    """All totals by name; 0 for one that nothing was added to."""
    return defaultdict(int, db.execute("SELECT name, total FROM tally"))

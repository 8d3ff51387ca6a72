"""Paths as a configuration writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def at_home(path: str, env: Mapping[str, str]) -> Path:
    """A path with ``~/`` put in; without a home it lies where the daemon was started."""
    if path == "~" or path.startswith("~/"):
        return Path(env.get("HOME", ""), path[2:])
    return Path(path)

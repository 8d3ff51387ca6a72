"""A configuration file, read once into checked, frozen values: ``load``.

One YAML file holds the policy and the settings of the daemon. Every fault is found in one pass
and reported with its path; nothing is guessed and nothing unknown is skipped.

Exceptions: ``ConfigError`` (see ``pipeline.config.faults``), and no other for anything in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline.config.document import DOCUMENT_BYTES, Fields, Node, line_of, read, views
from pipeline.config.faults import ConfigError, Fault, Faults
from pipeline.config.fields import Key, Place, section
from pipeline.config.policies import POLICY_KEYS, policy
from pipeline.config.settings import DAEMON_KEYS, Channel, Settings, settings

__all__ = [
    "KEYS", "Channel", "ConfigError", "Fault", "Looked", "Settings", "load", "look", "parse",
]  # fmt: skip

KEYS: Final[tuple[Key[Any], ...]] = (*POLICY_KEYS, *DAEMON_KEYS)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a configuration holds, with everything that is wrong with it.

    Where there are faults, ``settings`` are those of what can be read, with defaults in the place
    of the rest: good for looking further, never for working with. None if nothing can be read.
    """

    settings: Settings | None
    faults: tuple[Fault, ...]
    source: str = ""
    tree: Node = field(default_factory=lambda: Fields({}, 0), repr=False)

    def line(self, *keys: str) -> int:
        """The line of what keys lead to, as near as the file has it; 0 without a file."""
        return line_of(self.tree, keys)

    def sound(self) -> Settings:
        """The settings, or ``ConfigError`` with every fault."""
        if self.settings is None or self.faults:
            raise ConfigError(self.faults, source=self.source)
        return self.settings


def load(path: Path | None, env: Mapping[str, str]) -> Settings:
    """The settings of a configuration file; without one, and for an empty one, the defaults.

    ``env`` fills ``${NAME}`` and ``${NAME:-default}`` in values. Raises ``ConfigError`` with every
    fault of the file.
    """
    return look(path, env).sound()


def look(path: Path | None, env: Mapping[str, str]) -> Looked:
    """What a configuration file holds, and what is wrong with it."""
    if path is None:
        return _looked(b"", env, Path(), "")
    try:
        with path.open("rb") as file:
            # One byte more than allowed tells too large from just right, whatever the file is.
            data = file.read(DOCUMENT_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        reason = getattr(error, "strerror", None) or str(error)
        fault = Fault("", f"cannot be read ({reason}): name a policy file that exists")
        return Looked(None, (fault,), str(path))
    return _looked(data, env, path.parent, str(path))


def parse(
    data: bytes, env: Mapping[str, str], *, folder: Path = Path(), source: str = ""
) -> Settings:
    """The settings that the bytes of a configuration describe.

    ``folder`` is where relative paths start, ``source`` what an error calls the file.
    """
    return _looked(data, env, folder, source).sound()


def _looked(data: bytes, env: Mapping[str, str], folder: Path, source: str) -> Looked:
    """What bytes say. Where a key is given twice, the settings are those of its first copy, and
    the faults those of every copy."""
    faults = Faults()
    node = read(data, env, faults)
    if node is None and faults.found:
        return Looked(None, faults.all(), source)
    tree = node or Fields({}, 1)
    found: Settings | None = None
    for view in views(tree):
        top = section(Place(view, "", faults), KEYS)
        read_so = None if top is None else settings(top, policy(top), folder=folder, env=env)
        found = found or read_so
    return Looked(found, faults.all(), source, tree)

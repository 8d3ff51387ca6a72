"""A configuration file, read once into checked, frozen values: ``load``.

One YAML file holds the policy and the settings of the daemon. Every fault is found in one pass
and reported with its path; nothing is guessed and nothing unknown is skipped.

Exceptions: ``ConfigError`` (see ``pipeline.config.faults``), and no other for anything in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.config.document import DOCUMENT_BYTES, Fields, Node, read
from pipeline.config.faults import ConfigError, Fault, Faults
from pipeline.config.fields import Key, Place, section
from pipeline.config.policies import POLICY_KEYS, policy
from pipeline.config.settings import DAEMON_KEYS, Channel, Settings, settings

__all__ = ["KEYS", "Channel", "ConfigError", "Fault", "Settings", "load", "parse"]

KEYS: Final[tuple[Key[Any], ...]] = (*POLICY_KEYS, *DAEMON_KEYS)


def load(path: Path | None, env: Mapping[str, str]) -> Settings:
    """The settings of a configuration file; without one, and for an empty one, the defaults.

    ``env`` fills ``${NAME}`` and ``${NAME:-default}`` in values. Raises ``ConfigError`` with every
    fault of the file.
    """
    if path is None:
        return parse(b"", env)
    try:
        with path.open("rb") as file:
            # One byte more than allowed tells too large from just right, whatever the file is.
            data = file.read(DOCUMENT_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        reason = getattr(error, "strerror", None) or str(error)
        fault = Fault("", f"cannot be read ({reason}): name a policy file that exists")
        raise ConfigError([fault], source=str(path)) from error
    return parse(data, env, folder=path.parent, source=str(path))


def parse(
    data: bytes, env: Mapping[str, str], *, folder: Path = Path(), source: str = ""
) -> Settings:
    """The settings that the bytes of a configuration describe.

    ``folder`` is where relative paths start, ``source`` what an error calls the file.
    """
    faults = Faults()
    node: Node = read(data, env, faults) or Fields({}, 1)
    top = section(Place(node, "", faults), KEYS)
    found = None if top is None else settings(top, policy(top), folder=folder, env=env)
    if found is None or faults.found:
        raise ConfigError(faults.all(), source=source)
    return found

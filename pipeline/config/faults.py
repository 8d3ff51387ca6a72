"""What is wrong with a configuration: every fault at once, each with its path.

Exceptions of this module:

    ConfigError    a configuration that cannot be used; carries one or more ``Fault``

Nothing here knows what a configuration means.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

# More faults than this is no typing slip but the wrong file; the rest is only counted, so that a
# hostile megabyte cannot fill the terminal or the memory.
FAULTS_MAX: Final = 200
SHOWN_CHARS: Final = 60
# Longer words are no slips of the keyboard, and comparing them costs the square of their length.
GUESSED_CHARS: Final = 40

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: where (``metrics.edi_acceptance.margin``), what, and what to do about it.

    ``path`` is empty when the file as a whole is meant; ``line`` is 0 where it is unknown.
    """

    path: str
    message: str
    line: int = 0

    def __str__(self) -> str:
        """The fault in one line."""
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.message}" + (f" (line {self.line})" if self.line else "")


class ConfigError(Exception):
    """A configuration that cannot be used, with everything that is wrong with it."""

    def __init__(self, faults: Iterable[Fault], *, source: str = "") -> None:
        self.faults = tuple(faults)
        self.source = source
        count = f"{len(self.faults)} fault" + ("" if len(self.faults) == 1 else "s")
        head = f"{source}: {count}" if source else count
        super().__init__("\n".join([head, *(f"  {fault}" for fault in self.faults)]))


@dataclass(slots=True)
class Faults:
    """A growing list of faults, bounded, in which nothing is said twice.

    ``reports`` counts what was said again too: as long as it stands still, all was well.
    """

    found: list[Fault] = field(default_factory=list)
    left_off: int = 0
    reports: int = 0
    _said: set[int] = field(default_factory=set)

    def add(self, path: str, message: str, *, line: int = 0) -> None:
        """One fault more, unless it has been said; beyond the limit it is only counted."""
        self.reports += 1
        said = hash((path, message, line))
        if said in self._said:
            return
        self._said.add(said)
        if len(self.found) < FAULTS_MAX:
            self.found.append(Fault(path, message, line))
        else:
            self.left_off += 1

    @property
    def full(self) -> bool:
        """Whether further faults are only counted, so that finding good words is wasted."""
        return len(self.found) >= FAULTS_MAX

    def all(self) -> tuple[Fault, ...]:
        """Every fault in the order of the file, the last one saying how many were left off."""
        ordered = sorted(self.found, key=lambda fault: fault.line)
        if self.left_off:
            ordered.append(Fault("", f"and {self.left_off} more: is this the right file?"))
        return tuple(ordered)


def blamed(path: str, faults: Iterable[Fault]) -> bool:
    """Whether a fault is of what a path names or of anything in it.

    >>> blamed("alerts[1]", [Fault("alerts[1].webhook", "is none")])
    True
    >>> blamed("alerts[1]", [Fault("alerts[10]", "is none")])
    False
    """
    inside = (f"{path}.", f"{path}[")
    return any(fault.path == path or fault.path.startswith(inside) for fault in faults)


def shown(text: str) -> str:
    """A text as it may be shown: quoted, without control characters, cut to a limit.

    >>> shown("no" * 40)
    "'nononononononononononononononononononononononononononono...'"
    """
    cut = text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 4] + "..."
    return ascii(cut) if not cut.isprintable() else f"'{cut}'"


def joined(path: str, name: str) -> str:
    """The path of a key below another path; names that are no plain words are quoted.

    >>> joined("services", "order.api")
    "services.'order.api'"
    """
    part = name if _PLAIN_KEY.fullmatch(name) and len(name) <= SHOWN_CHARS else shown(name)
    return f"{path}.{part}" if path else part


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that a word is near to, else the empty text.

    >>> nearest("margn", ["margin", "mode"])
    'margin'
    """
    if len(word) > GUESSED_CHARS:
        return ""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.7)
    return near[0] if near else ""


def guess(word: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` when one of the known words is near, else the empty text.

    >>> guess("margn", ["margin", "mode"])
    '; did you mean margin?'
    """
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""

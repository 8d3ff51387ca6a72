"""How many different things are kept apart, and what a flood of made-up names is folded into.

First come, first served: the names that came first go on being kept, later ones are counted under
``other``. Which these are is a function of the cells that are kept, so a restart and a replay of
the same turns decide the same. Nothing is dropped: every observation stays in its total.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from analyzers.facts import NS_PER_S, OK, SLICE_NS, Bools, Marker, Words
from analyzers.folding.cells import Cells, merge
from analyzers.folding.series import FIELDS, Segment, Series, SeriesTable, coded
from analyzers.policy import Policy

OTHER: Final = "other"
# For every segment that may be judged so many are kept: one that becomes interesting only later
# has its past then. At half, a distributor with a thousand partners would lose some of them.
VALUES_FACTOR: Final = 10
# (environment, service) pairs. Ten times as many as the largest landscape we know of.
SERVICES: Final = 2_000
# New versions of one service within a week, not counting those that markers name: a service that
# is built on every push has a few hundred. Over a week rather than for good, so that a flood does
# not shut out the releases of next month.
VERSIONS: Final = 1_000
VERSIONS_SLICES: Final = 7 * 24 * 3600 * NS_PER_S // SLICE_NS

_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_FOLDED: Final = np.uint64(29)

_Source = tuple[str, str]
_Group = tuple[str, str, str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Held:
    """Cells within the limits; ``folded`` of their observations are counted under ``other``
    because of them. ``news`` names what has reached its limit for the first time."""

    cells: Cells
    folded: int = 0
    news: tuple[str, ...] = ()


class Roster:
    """The names that are kept apart. Made from kept cells by ``learn``, moved by ``held``.

    A series is looked up by a key of 64 bits made from numbers of its words. Should two series ever
    have one key, the later one is kept apart without having been asked for.
    """

    __slots__ = ("_keys", "_numbers", "_sources", "_told", "_values", "_versions")

    def __init__(self) -> None:
        self._numbers: tuple[dict[Any, int], ...] = tuple({} for _ in range(FIELDS))
        self._keys = np.empty(0, np.uint64)  # of all that are kept, ascending
        self._values: dict[_Group, set[Segment]] = {}
        self._sources: set[_Source] = set()
        self._versions: dict[_Source, dict[str, int]] = {}  # each with its first slice
        self._told: set[str] = set()

    def __len__(self) -> int:
        return len(self._keys)

    def learn(self, cells: Cells) -> None:
        """Takes in what is kept already: it stays, whatever the limits are by now."""
        names = dict(zip(cells.series, _first_shown(cells), strict=True))
        for series, shown in names.items():
            self._note(series, shown)
        self._enter(names)

    def held(self, cells: Cells, policy: Policy, markers: Iterable[Marker]) -> Held:
        """New cells with everything beyond the limits counted under ``other``.

        What the policy or ``markers`` name is always kept. Where all series are known nothing is
        looked at but the numbers of their words.
        """
        table = coded(cells.series)
        unknown = np.flatnonzero(~self._knows(table)).tolist()
        if not unknown:
            return Held(cells)
        admission = _Admission(policy, markers, now=int(cells.shown.max()))
        shown = _first_shown(cells)
        entered: set[Series] = set()
        moved: dict[int, Series] = {}
        news: list[str] = []
        for place in unknown:
            series = table[place]
            admission.crowded = len(self) + len(entered) >= policy.limits.series
            name = self._kept_apart(series, admission)
            entered.add(name)
            self._note(name, shown[place])
            if name != series:
                moved[place] = name
                news += self._news(series, name)
        self._enter(entered)
        if not moved:
            return Held(cells)
        names = [moved.get(place, series) for place, series in enumerate(table)]
        renamed = Cells(tuple(names), *(getattr(cells, name) for name in Cells.__slots__[1:]))
        elsewhere = np.zeros(len(names), np.bool_)
        elsewhere[list(moved)] = True
        return Held(merge([renamed]), int(cells.count[elsewhere[cells.of]].sum()), tuple(news))

    def _knows(self, table: SeriesTable) -> Bools:
        """Which of the series are kept."""
        keys, numbered = self._keys_of(table)
        if not len(self._keys):
            return np.zeros(len(keys), np.bool_)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.asarray(numbered & (self._keys[places] == keys))

    def _keys_of(self, table: SeriesTable) -> tuple[Words, Bools]:
        """The key of each series, and whether all its words have numbers."""
        keys, numbered = np.zeros(len(table), np.uint64), np.ones(len(table), np.bool_)
        for known, words, codes in zip(self._numbers, table.words, table.codes, strict=True):
            numbers = np.array([known.get(word, -1) for word in words], np.int64)[codes]
            numbered &= numbers >= 0
            keys = (keys ^ numbers.astype(np.uint64)) * _SPREAD
            keys ^= keys >> _FOLDED
        return keys, numbered

    def _enter(self, names: Collection[Series]) -> None:
        if not names:
            return
        for series in names:
            for known, word in zip(self._numbers, series, strict=True):
                known.setdefault(word, len(known))
        self._keys = np.union1d(self._keys, self._keys_of(coded(names))[0])

    def _note(self, series: Series, shown: int) -> None:
        source = (series.environment, series.service)
        self._sources.add(source)
        versions = self._versions.setdefault(source, {})
        versions[series.version] = min(shown, versions.get(series.version, shown))
        if series.segment:
            self._values.setdefault(_group(series), set()).add(series.segment)

    def _kept_apart(self, series: Series, admission: _Admission) -> Series:
        """The name under which a new series is kept."""
        crowded = admission.crowded
        source = (series.environment, series.service)
        if source not in self._sources and series.service not in admission.services:
            if len(self._sources) >= SERVICES or crowded:
                series = series._replace(environment=OTHER, service=OTHER, version=OTHER)
        elif not self._keeps_version(series, admission):
            series = series._replace(version=OTHER)
        if series.segment:
            kept = self._values.get(_group(series), set())
            if series.segment not in kept and (crowded or len(kept) >= admission.values):
                named = tuple((n, admission.value(n, v)) for n, v in series.segment)
                series = series._replace(segment=named)
        return series

    def _keeps_version(self, series: Series, admission: _Admission) -> bool:
        source = (series.environment, series.service)
        versions = self._versions.get(source, {})
        if not series.version or series.version in versions:
            return True
        if (*source, series.version) in admission.releases:
            return True
        if admission.crowded:
            return False
        # Counted once a turn and then kept up: a flood asks this for every one of its series.
        if source not in admission.young:
            since = admission.now - VERSIONS_SLICES
            admission.young[source] = sum(first > since for first in versions.values())
        if admission.young[source] >= VERSIONS:
            return False
        admission.young[source] += 1
        return True

    def _news(self, series: Series, name: Series) -> list[str]:
        """A line for what is folded for the first time since the process began."""
        what, whose = "", f"{series.service} in {series.environment}"
        if (name.environment, name.service) != (series.environment, series.service):
            what, whose = "services", "the stream"
        elif name.version != series.version:
            what = "versions"
        elif name.segment != series.segment:
            names = " and ".join(attribute for attribute, _ in series.segment)
            what = f"values of {names} in {series.metric}"
        line = f"{whose} has too many {what}: new ones are counted under {OTHER!r} from here on"
        if line in self._told or len(self._told) >= SERVICES:
            return []
        self._told.add(line)
        return [line]


class _Admission:
    """What one turn may bring."""

    __slots__ = ("_types", "crowded", "now", "releases", "services", "values", "young")

    def __init__(self, policy: Policy, markers: Iterable[Marker], *, now: int) -> None:
        limits, metrics = policy.limits, policy.metrics
        self.now = now
        self.crowded = False
        self.values = limits.segments * VALUES_FACTOR
        self.services = {
            *policy.services,
            *(name for metric in metrics for name in metric.services),
        }
        self.releases: set[tuple[str, str, str]] = set()
        for marker in markers:
            self.services.add(marker.service)
            self.releases |= {
                (marker.environment, marker.service, version)
                for version in (marker.version, marker.replaces)
            }
        self.young: dict[_Source, int] = {}
        self._types = {name for metric in metrics for name in (*metric.types, metric.exposure)}

    def value(self, attribute: str, value: str) -> str:
        """What is left of a value beyond the limit: what the policy asks for by name is told
        apart from the flood around it."""
        if attribute == "type" and value in self._types:
            return value
        return value if attribute == "outcome" and value == OK else OTHER


def _group(series: Series) -> _Group:
    names = tuple(name for name, _ in series.segment)
    return (series.environment, series.service, series.metric, names)


def _first_shown(cells: Cells) -> list[int]:
    """The first slice in which each series is shown."""
    first = np.full(len(cells.series), np.iinfo(np.int64).max)
    np.minimum.at(first, cells.of, cells.shown)
    return first.tolist()

"""How many different things are kept apart, and what a flood of made-up names is folded into.

First come, first served: the names that came first go on being kept, later ones are counted under
``other``. Which these are is a function of the cells that are kept, so a restart and a replay of
the same turns decide the same. Nothing is dropped: every observation stays in its total.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from analyzers.cells import Cells, Segment, Series, merge
from analyzers.facts import NS_PER_S, OK, SLICE_NS, Marker
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
    """The names that are kept apart. Made from kept cells by ``learn``, moved by ``held``."""

    __slots__ = ("_known", "_sources", "_told", "_values", "_versions")

    def __init__(self) -> None:
        self._known: set[Series] = set()
        self._values: dict[_Group, set[Segment]] = {}
        self._sources: set[_Source] = set()
        self._versions: dict[_Source, dict[str, int]] = {}  # each with its first slice
        self._told: set[str] = set()

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, cells: Cells) -> None:
        """Takes in what is kept already: it stays, whatever the limits are by now."""
        for series, shown in zip(cells.series, _first_shown(cells), strict=True):
            self._enter(series, shown)

    def held(self, cells: Cells, policy: Policy, markers: Iterable[Marker]) -> Held:
        """New cells with everything beyond the limits counted under ``other``.

        What the policy or ``markers`` name is always kept. One pass over the distinct series, and
        nothing more where all of them are known.
        """
        if self._known.issuperset(cells.series):
            return Held(cells)
        admission = _Admission(policy, markers, now=int(cells.shown.max()))
        names, news = [], []
        for series, shown in zip(cells.series, _first_shown(cells), strict=True):
            name = series
            if series not in self._known:
                name = self._kept_apart(series, admission)
                self._enter(name, shown)
                if name != series:
                    news += self._news(series, name)
            names.append(name)
        moved = np.array([a != b for a, b in zip(names, cells.series, strict=True)], np.bool_)
        if not moved.any():
            return Held(cells)
        renamed = Cells(tuple(names), *(getattr(cells, name) for name in Cells.__slots__[1:]))
        return Held(merge([renamed]), int(cells.count[moved[cells.of]].sum()), tuple(news))

    def _enter(self, series: Series, shown: int) -> None:
        self._known.add(series)
        source = (series.environment, series.service)
        self._sources.add(source)
        versions = self._versions.setdefault(source, {})
        versions[series.version] = min(shown, versions.get(series.version, shown))
        if series.segment:
            self._values.setdefault(_group(series), set()).add(series.segment)

    def _kept_apart(self, series: Series, admission: _Admission) -> Series:
        """The name under which a new series is kept."""
        crowded = len(self._known) >= admission.series
        source = (series.environment, series.service)
        if source not in self._sources and series.service not in admission.services:
            if len(self._sources) >= SERVICES or crowded:
                series = series._replace(environment=OTHER, service=OTHER, version=OTHER)
        elif not self._keeps_version(series, admission, crowded=crowded):
            series = series._replace(version=OTHER)
        if series.segment:
            kept = self._values.get(_group(series), set())
            if series.segment not in kept and (crowded or len(kept) >= admission.values):
                named = tuple((n, admission.value(n, v)) for n, v in series.segment)
                series = series._replace(segment=named)
        return series

    def _keeps_version(self, series: Series, admission: _Admission, *, crowded: bool) -> bool:
        source = (series.environment, series.service)
        versions = self._versions.get(source, {})
        if not series.version or series.version in versions:
            return True
        if (*source, series.version) in admission.releases:
            return True
        if crowded:
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

    __slots__ = ("_types", "now", "releases", "series", "services", "values", "young")

    def __init__(self, policy: Policy, markers: Iterable[Marker], *, now: int) -> None:
        limits, metrics = policy.limits, policy.metrics
        self.now = now
        self.series = limits.series
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

"""Two arms: which cells are the canary's, which the baseline's, aligned slice by slice.

Late binding: cells know versions and tracks, the timeline knows which of them a release compares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from analyzers.cells import Cells, Segment, Series
from analyzers.facts import NS_PER_S, SLICE_NS, SLICE_S, Floats, Ints
from analyzers.policy import Measure, Policy
from analyzers.timeline import Deployment

BASELINE, CANARY, NEITHER = 0, 1, -1
Key = tuple[str, Segment]


@dataclass(frozen=True, slots=True)
class Rows:
    """What both arms of one comparison showed, k slices in order of ``shown``.

    ``units`` and ``failures`` (k, 2) baseline and canary; buckets as rows: place in [0, k),
    number, counts (m, 2). ``exposed`` (k, 2): exposure events of each arm, where the metric has
    them.
    """

    shown: Ints
    units: Floats
    failures: Floats
    exposed: Floats
    bin_of: Ints
    bin: Ints
    bin_counts: Floats

    def __len__(self) -> int:
        return len(self.shown)


def no_rows() -> Rows:
    """No slice at all."""
    e, two = np.empty(0, np.int64), np.empty((0, 2))
    return Rows(e, two, two, two, e, e, two)


def arm_of(series: Series, deployment: Deployment, replaces: str) -> int:
    """BASELINE, CANARY or NEITHER: by version where a marker names it, else by track."""
    if series.version and series.version == deployment.version:
        return CANARY
    if series.version and series.version == replaces:
        return BASELINE
    if series.track == "canary":
        return CANARY
    if series.track == "baseline":
        return BASELINE
    return NEITHER


def attribute(
    cells: Cells,
    deployment: Deployment,
    replaces: str,
    policy: Policy,
    known: Collection[Key] = (),
) -> dict[Key, Rows]:
    """The rows of every comparison of a deployment among some cells.

    Cells count from the slice of the start marker (answers: from when the first question asked
    after it falls due) to that of the end marker. Of each metric's attribute sets no more segments
    are taken than the policy's limit, those ``known`` first.
    """
    deadline = {m.name: m.deadline_s for m in policy.metrics if m.measure is Measure.ANSWER}
    first = deployment.started_ns // SLICE_NS
    last = deployment.ended_ns // SLICE_NS if deployment.ended_ns is not None else None
    keys: dict[Key, int] = {}
    arm = np.full(len(cells.series), NEITHER)
    key_of = np.zeros(len(cells.series), np.int64)
    begins = np.zeros(len(cells.series), np.int64)
    for i, series in enumerate(cells.series):
        if (series.service, series.environment) != (deployment.service, deployment.environment):
            continue
        arm[i] = arm_of(series, deployment, replaces)
        key_of[i] = keys.setdefault((series.metric, series.segment), len(keys))
        begins[i] = first + deadline.get(series.metric, 0) // SLICE_S
    rows = (arm[cells.of] != NEITHER) & (cells.slice >= begins[cells.of])
    bins = (arm[cells.bin_of] != NEITHER) & (cells.bin_slice >= begins[cells.bin_of])
    if last is not None:
        rows &= cells.slice <= last
        bins &= cells.bin_slice <= last
    names = list(keys)
    result: dict[Key, Rows] = {}
    chosen = cells.where(rows, bins)
    order = np.argsort(key_of[chosen.of], kind="stable")
    bin_order = np.argsort(key_of[chosen.bin_of], kind="stable")
    row_keys, bin_keys = key_of[chosen.of][order], key_of[chosen.bin_of][bin_order]
    since = np.full(len(keys), np.iinfo(np.int64).max)
    np.minimum.at(since, row_keys, chosen.shown[order])
    for number in _admitted(names, since, np.unique(row_keys), policy, known):
        part = order[np.searchsorted(row_keys, number) : np.searchsorted(row_keys, number + 1)]
        bin_part = bin_order[
            np.searchsorted(bin_keys, number) : np.searchsorted(bin_keys, number + 1)
        ]
        result[names[number]] = _rows(chosen, arm, part, bin_part)
    return result


def _admitted(
    names: list[Key], since: Ints, present: Ints, policy: Policy, known: Collection[Key]
) -> list[int]:
    """The places of the comparisons to take: a sender who makes up attribute values or types must
    not make everything slow. First come, first served; types that the policy names always are."""
    limit, places = policy.limits.segments, [int(place) for place in present]
    if len(places) + len(known) <= limit:
        return places
    expected = {name for metric in policy.metrics for name in (*metric.types, metric.exposure)}
    taken = Counter(_kind_of(key) for key in known)
    admitted = []
    for number in sorted(places, key=lambda number: (since[number], names[number])):
        key = names[number]
        if key[1] and key not in known:
            named = key[1][0][0] == "type" and key[1][0][1] in expected
            if not named and taken[_kind_of(key)] >= limit:
                continue
            taken[_kind_of(key)] += 1
        admitted.append(number)
    return admitted


def _kind_of(key: Key) -> tuple[str, ...]:
    """The metric and the attribute names of a comparison."""
    return (key[0], *(name for name, _ in key[1]))


def _rows(cells: Cells, arm: Ints, part: Ints, bin_part: Ints) -> Rows:
    shown, place = np.unique(cells.shown[part], return_inverse=True)
    units, failures = np.zeros((len(shown), 2)), np.zeros((len(shown), 2))
    side = arm[cells.of[part]]
    np.add.at(units, (place, side), cells.count[part])
    np.add.at(failures, (place, side), cells.failures[part])
    counts = np.zeros((len(bin_part), 2))
    counts[np.arange(len(bin_part)), arm[cells.bin_of[bin_part]]] = cells.bin_count[bin_part]
    bin_of = np.searchsorted(shown, cells.bin_shown[bin_part])
    return Rows(shown, units, failures, np.zeros_like(units), bin_of, cells.bin[bin_part], counts)


def with_exposure(rows: Rows, exposure: Rows) -> Rows:
    """The rows of a count with another comparison's units as its exposure."""
    shown = np.union1d(rows.shown, exposure.shown)
    place, other = np.searchsorted(shown, rows.shown), np.searchsorted(shown, exposure.shown)
    units, failures, exposed = (np.zeros((len(shown), 2)) for _ in range(3))
    units[place], failures[place], exposed[other] = rows.units, rows.failures, exposure.units
    return Rows(shown, units, failures, exposed, place[rows.bin_of], rows.bin, rows.bin_counts)


def stack(*parts: Rows) -> Rows:
    """The rows of all parts, each later than those before it."""
    told = [part for part in parts if len(part)]
    if not told:
        return no_rows()
    if len(told) == 1:
        return told[0]
    begins = np.cumsum([0, *(len(part) for part in told[:-1])]).tolist()
    return Rows(
        np.concatenate([part.shown for part in told]),
        np.concatenate([part.units for part in told]),
        np.concatenate([part.failures for part in told]),
        np.concatenate([part.exposed for part in told]),
        np.concatenate([part.bin_of + at for part, at in zip(told, begins, strict=True)]),
        np.concatenate([part.bin for part in told]),
        np.concatenate([part.bin_counts for part in told]),
    )


def share_over(deployment: Deployment, shown: Ints) -> Floats:
    """The canary's declared share of the traffic in each slice; 0 where none is declared."""
    times = np.array([time for time, _ in deployment.shares], np.int64) // SLICE_NS
    values = np.array([share or 0.0 for _, share in deployment.shares])
    place = np.searchsorted(times, shown, side="right") - 1
    return np.asarray(np.where(place >= 0, values[np.maximum(place, 0)], 0.0))


def shown_before(
    deployment: Deployment, replaces: str, sealed: Iterable[Cells], days: int
) -> frozenset[str]:
    """The metrics that the baseline has shown in so many days before a deployment started; as in
    ``replaced``, no later cell changes the answer."""
    start = deployment.started_ns // SLICE_NS
    since = start - days * 24 * 3600 // SLICE_S
    found: set[str] = set()
    for cells in sealed:
        before = (cells.slice < start) & (cells.slice >= since) & (cells.shown <= start)
        before &= cells.count > cells.failures  # questions never answered are no metric shown
        near = np.unique(cells.of[before])
        for series in (cells.series[i] for i in near.tolist()):
            mine = (series.service, series.environment)
            if mine != (deployment.service, deployment.environment) or series.segment:
                continue
            if arm_of(series, deployment, replaces) == BASELINE:
                found.add(series.metric)
    return frozenset(found)


def replaced(deployment: Deployment, sealed: Iterable[Cells], flow: str) -> str:
    """The version that a deployment replaces: what its marker says, or the one with most events
    in the 24 h before it; if nothing was seen before, the first other version seen after.

    What was shown after the start slice does not count as before: once that slice is sealed, no
    later cell changes the answer, and a restart gives the same one.
    """
    if deployment.replaces:
        return deployment.replaces
    start = deployment.started_ns // SLICE_NS
    day = 24 * 3600 * NS_PER_S // SLICE_NS
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for cells in sealed:
        for i, series in enumerate(cells.series):
            if series.metric != flow or series.segment or not series.version:
                continue
            if series.version == deployment.version or series.service != deployment.service:
                continue
            if series.environment != deployment.environment:
                continue
            mine = cells.of == i
            near = mine & (cells.slice < start) & (cells.slice >= start - day)
            near &= cells.shown <= start
            if near.any():
                before[series.version] = before.get(series.version, 0) + int(
                    cells.count[near].sum()
                )
            later = cells.shown[mine & (cells.slice >= start)]
            if len(later):
                known = after.get(series.version, int(later.min()))
                after[series.version] = min(known, int(later.min()))
    if before:
        return min(before, key=lambda version: (-before[version], version))
    return min(after, key=lambda version: (after[version], version)) if after else ""

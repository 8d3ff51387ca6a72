"""Two arms: which series are the canary's, which the baseline's, and what came before.

Late binding: cells know versions and tracks, the timeline knows which of them a release compares.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from analyzers.facts import NS_PER_S, SLICE_NS, SLICE_S, Floats, Ints
from analyzers.folding.cells import Cells, Segment, Series
from analyzers.timeline import Deployment

BASELINE, CANARY, NEITHER = 0, 1, -1
Key = tuple[str, Segment]


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


def share_over(deployment: Deployment, shown: Ints) -> Floats:
    """The canary's declared share of the traffic in each slice; 0 where none is declared."""
    times = np.array([time for time, _ in deployment.shares], np.int64) // SLICE_NS
    values = np.array([share or 0.0 for _, share in deployment.shares])
    place = np.searchsorted(times, shown, side="right") - 1
    return np.asarray(np.where(place >= 0, values[np.maximum(place, 0)], 0.0))


def shown_before(
    deployment: Deployment, replaces: str, sealed: Iterable[Cells], days: int
) -> dict[str, int]:
    """The metrics that the baseline has shown in so many days before a deployment started, each
    with its longest pause in slices; as in ``replaced``, no later cell changes the answer."""
    start = deployment.started_ns // SLICE_NS
    since = start - days * 24 * 3600 // SLICE_S
    found: dict[str, list[Ints]] = {}
    for cells in sealed:
        before = (cells.slice < start) & (cells.slice >= since) & (cells.shown <= start)
        before &= cells.count > cells.failures  # questions never answered are no metric shown
        for place in np.unique(cells.of[before]).tolist():
            series = cells.series[place]
            mine = (series.service, series.environment)
            if mine != (deployment.service, deployment.environment) or series.segment:
                continue
            if arm_of(series, deployment, replaces) == BASELINE:
                times = cells.slice[before & (cells.of == place)]
                found.setdefault(series.metric, []).append(times)
    return {
        metric: int(np.diff(np.unique(np.concatenate(times))).max(initial=0))
        for metric, times in found.items()
    }


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

"""What the two sides' gauges did before a release: how one minute's difference hangs together with
the next.

A queue that is long now is long a minute later, whoever was released. Only the past difference of
both sides says by how much: noise that they share hides what each remembers by itself (judged by
the baseline's own level alone, 60 % of untouched releases with it were called harmful).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from analyzers.comparing.arms import BASELINE, CANARY, Key
from analyzers.comparing.families import WINDOW_SLICES
from analyzers.contrast.gauge import coefficients
from analyzers.facts import SLICE_NS, SLICE_S, Floats, Ints
from analyzers.folding import moments
from analyzers.folding.cells import Cells
from analyzers.policy import Kind, Policy
from analyzers.timeline import Deployment

# So many days before the start are looked at.
DAYS: Final = 7
_TRACKS: Final = {"baseline": BASELINE, "canary": CANARY}


def pasts(deployment: Deployment, sealed: Iterable[Cells], policy: Policy) -> Mapping[Key, Floats]:
    """The coefficients (5,) of the differences between both sides' gauges, where those have a past
    that is long and even enough: what ran as `track` canary and as baseline before the start.

    What was shown after the start slice does not count: once that is sealed, no later cell changes
    the answer, and a restart gives the same one.
    """
    gauges = {metric.name: metric for metric in policy.metrics if metric.kind is Kind.GAUGE}
    start = deployment.started_ns // SLICE_NS
    since = start - DAYS * 24 * 3600 // SLICE_S
    keys: dict[Key, int] = {}
    parts: list[tuple[Ints, Ints, Ints, moments.Wide]] = []
    for cells in sealed if gauges else ():
        number = np.full(len(cells.series), -1)
        for place, series in enumerate(cells.series):
            mine = (series.service, series.environment)
            if series.metric not in gauges or mine != (deployment.service, deployment.environment):
                continue
            if series.track in _TRACKS:
                at = keys.setdefault((series.metric, series.segment), len(keys))
                number[place] = 2 * at + _TRACKS[series.track]
        rows = (number[cells.of] >= 0) & (cells.slice < start) & (cells.slice >= since)
        rows &= cells.shown <= start
        chosen = np.flatnonzero(rows)
        minute = cells.slice[chosen] // WINDOW_SLICES
        of = number[cells.of[chosen]]
        parts.append((of, minute, cells.count[chosen], cells.sum.take(chosen)))
    found = {}
    for key, (minute, difference) in _differences(keys, parts).items():
        told = coefficients(_unbroken(minute, difference * gauges[key[0]].quantum))
        if told is not None:
            found[key] = told
    return found


def _differences(
    keys: Mapping[Key, int], parts: list[tuple[Ints, Ints, Ints, moments.Wide]]
) -> dict[Key, tuple[Ints, Floats]]:
    """For each gauge the minutes that both sides have, ascending, and the difference of their
    means in quanta."""
    found = {}
    sides = _series({(key, arm): 2 * at + arm for key, at in keys.items() for arm in (0, 1)}, parts)
    for key in keys:
        (first, a), (second, b) = sides[key, BASELINE], sides[key, CANARY]
        minute, here, there = np.intersect1d(first, second, assume_unique=True, return_indices=True)
        found[key] = (minute, b[there] - a[here])
    return found


def _series(
    keys: Mapping[tuple[Key, int], int], parts: list[tuple[Ints, Ints, Ints, moments.Wide]]
) -> dict[tuple[Key, int], tuple[Ints, Floats]]:
    """For each side of a gauge its minutes, ascending, and the mean of each in quanta."""
    if not keys:
        return {}
    of, minute, count = (np.concatenate([part[i] for part in parts]) for i in range(3))
    total = moments.concat([part[3] for part in parts])
    low = int(minute.min(initial=0))
    span = int(minute.max(initial=0)) - low + 1
    both, place = np.unique(of * span + (minute - low), return_inverse=True)
    # Integers first: the mean depends on no order.
    sums = moments.floats(moments.added(total, place, len(both)))
    counts = np.bincount(place, weights=count, minlength=len(both))
    mean, owner = sums / np.maximum(counts, 1.0), both // span
    return {
        key: (both[owner == number] % span + low, mean[owner == number])
        for key, number in keys.items()
    }


def _unbroken(minute: Ints, mean: Floats) -> Floats:
    """The longest run of minutes without a gap, the latest of equally long ones."""
    if not len(minute):
        return mean
    begins = np.flatnonzero(np.append(True, np.diff(minute) != 1))
    sizes = np.diff(np.append(begins, len(minute)))
    best = len(sizes) - 1 - int(np.argmax(sizes[::-1]))
    return mean[begins[best] : begins[best] + sizes[best]]

"""Rules that hold between metrics: ratios and what they are over, exposure and who counts it.

Metrics come in one by one; only together can it be told whether the one below a ratio's line
exists, and which events put units on a side.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from analyzers.policy import Kind, Measure, Metric
from pipeline.config.faults import guess
from pipeline.config.fields import Section
from pipeline.config.metric_keys import EXPOSURE, OVER, SEGMENTS, SPLITTING_FIELDS, TYPE

# What has a sum or a count that something can be divided by.
_BELOW: Final = (Measure.VALUE, Measure.EVENTS, Measure.FLOW, Measure.OUTCOME)


def together(
    metrics: Sequence[Metric], written: Mapping[str, Section], *, given: Mapping[str, Metric]
) -> tuple[Metric, ...]:
    """The metrics of a policy with what they take from each other; faults are reported.

    ``written`` are the definitions by name, ``given`` the metrics of the catalogue by name.
    """
    by_name = {metric.name: metric for metric in metrics}
    exposures = {metric.exposure for metric in metrics if metric.exposure}
    counted = any(metric.measure is Measure.FLOW for metric in metrics)
    found: list[Metric] = []
    for metric in metrics:
        here, settled = written.get(metric.name), metric
        if here is not None and metric.exposure and not counted:
            here.fault(
                EXPOSURE,
                "is counted by event_flow, which `catalogue: false` leaves out: name it too",
            )
        faulty = metric.over in written and metric.over not in by_name  # and reported already
        if here is not None and metric.kind is Kind.RATIO and metric.over and not faulty:
            settled = _ratio(metric, here, by_name)
        if metric.measure is Measure.ASSIGNMENT and metric.name in given:
            settled = _assignment(metric, here, exposures)
        found.append(settled)
    return tuple(found)


def _assignment(metric: Metric, here: Section | None, exposures: set[str]) -> Metric:
    """The catalogue's assignments, fed by exposure too unless its types are written down."""
    if here is not None and here.has(TYPE):
        return metric
    return dataclasses.replace(metric, types=tuple(sorted({*metric.types, *exposures})))


def _ratio(metric: Metric, here: Section, by_name: Mapping[str, Metric]) -> Metric:
    """A ratio that fits what it is over; without segments of its own it has the other's."""
    below = by_name.get(metric.over)
    wrong = _wrong_below(metric, below, by_name)
    if wrong or below is None:
        here.fault(OVER, wrong)
        return metric
    if not here.has(SEGMENTS):
        sets = tuple(
            names for names in below.segments if not set(names).intersection(SPLITTING_FIELDS)
        )
        return dataclasses.replace(metric, segments=sets)
    missing = [names for names in metric.segments if names not in below.segments]
    if missing:
        known = ", ".join(f"[{', '.join(names)}]" for names in below.segments) or "none"
        here.fault(
            SEGMENTS,
            f"[{', '.join(missing[0])}] is not among those of {below.name}, which are {known}: "
            "drop it here, or add it there",
        )
    return metric


def _wrong_below(metric: Metric, below: Metric | None, by_name: Mapping[str, Metric]) -> str:
    """Why a metric cannot be divided by the other one; empty if it can."""
    name = metric.over
    if name == metric.name:
        return f"{name} is the ratio itself: name the metric that it is divided by"
    if below is None:
        near = guess(name, by_name)
        return f"{name} is no metric of this policy{near or ': name one of it or of the catalogue'}"
    if below.kind is Kind.RATIO:
        return f"{name} is a ratio itself: name a metric with a sum or a count"
    if below.measure not in _BELOW:
        fitting = ", ".join(measure.value for measure in _BELOW)
        return (
            f"{name} has the measure {below.measure.value}, and no sum or count to divide by: "
            f"name a metric with one of {fitting}"
        )
    if below.synthetic is not metric.synthetic:
        return f"{name} is of {_world(below)}, and this of {_world(metric)}: set `synthetic` alike"
    return ""


def _world(metric: Metric) -> str:
    return "probes" if metric.synthetic else "real business"

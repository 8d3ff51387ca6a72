"""Which metrics a recording can say anything of: without their events there is nothing to measure,
and a rate of no false alarms would only look like one."""

from __future__ import annotations

import numpy as np

from analyzers.facts import OK, Facts
from analyzers.folding.cells import fed_by
from analyzers.policy import Kind, Measure, Metric, Policy


def missing(metric: Metric, facts: Facts, policy: Policy) -> str:
    """What some facts lack to say anything of a metric, in words; "" if nothing."""
    fed = fed_by(metric, facts)
    if metric.measure in (Measure.EVENTS, Measure.VALUE, Measure.ANSWER):
        fed &= facts.outcome.equals(OK)
    what = " or ".join(metric.types) if metric.types else "event"
    if metric.where:
        what += " with " + ", ".join(f"{name} {value}" for name, value in metric.where)
    if not fed.any():
        return f"no {what}"
    if metric.measure is Measure.VALUE and np.isnan(facts.value[fed]).all():
        return f"no {what} has a value"
    if metric.measure is Measure.ANSWER:
        answers = facts.type.equals(metric.answered_by) & facts.ref.any(axis=1)
        if not (answers & facts.outcome.equals(OK)).any():
            return f"no {metric.answered_by} answers any {what}"
    if metric.exposure and not facts.type.equals(metric.exposure).any():
        return f"no {metric.exposure}"
    if metric.kind is Kind.RATIO:
        return missing(policy.metric(metric.over), facts, policy)
    return ""

"""Facts, markers and policies for the analyzers' tests, said in a line.

Times are seconds after ``BEGIN_S``, the start of a slice. A column is one value for all rows or
one value a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from analyzers.facts import NS_PER_S, SLICE_S, Column, Facts, Marker, Words, code
from analyzers.policy import Criticality, Kind, Margin, Measure, Metric, Policy
from analyzers.timeline import FINISHED, ROLLED_BACK, SHIFTED, STARTED

BEGIN_S: Final = 1_779_321_600  # 2026-05-21T00:00:00Z
BEGIN_SLICE: Final = BEGIN_S // SLICE_S
NEW, OLD = "2.0.0", "1.9.0"

T = TypeVar("T", str, bool)
_SPREAD: Final = 0x9E3779B97F4A7C15


def at_ns(seconds: float) -> int:
    """A time in ns since 1970, given in seconds after ``BEGIN_S``."""
    return BEGIN_S * NS_PER_S + round(seconds * NS_PER_S)


def facts_of(
    times_s: Sequence[float] | npt.NDArray[Any],
    *,
    types: str | Sequence[str] = "order.submitted",
    service: str | Sequence[str] = "order-api",
    environment: str | Sequence[str] = "production",
    version: str | Sequence[str] = "",
    track: str | Sequence[str] = "",
    outcome: str | Sequence[str] = "ok",
    value: float | Sequence[float] | npt.NDArray[Any] = np.nan,
    ids: Sequence[int] | npt.NDArray[Any] | None = None,
    refs: int | Sequence[int] | npt.NDArray[Any] = 0,
    subjects: int | Sequence[int] | npt.NDArray[Any] = 0,
    synthetic: bool | Sequence[bool] = False,
    attributes: Mapping[str, str | Sequence[str]] | None = None,
) -> Facts:
    """One fact for each time. ``ids`` default to 1, 2, ...; a ref of 0 answers nothing,
    and a subject of 0 is none."""
    n = len(times_s)
    seconds = np.asarray(times_s, np.float64)
    names = np.arange(1, n + 1) if ids is None else np.asarray(ids, np.int64)
    return Facts(
        time_ns=BEGIN_S * NS_PER_S + np.rint(seconds * 1e6).astype(np.int64) * 1000,
        environment=_column(environment, n),
        service=_column(service, n),
        version=_column(version, n),
        track=_column(track, n),
        type=_column(types, n),
        outcome=_column(outcome, n),
        value=np.broadcast_to(np.asarray(value, np.float64), n).copy(),
        key=_keys(names),
        content=names.astype(np.uint64),
        ref=_keys(np.broadcast_to(np.asarray(refs, np.int64), n)),
        subject=np.broadcast_to(np.asarray(subjects, np.uint64), n).copy(),
        synthetic=np.broadcast_to(np.asarray(synthetic, np.bool_), n).copy(),
        attributes={name: _column(words, n) for name, words in (attributes or {}).items()},
    )


def _column(words: str | Sequence[str], n: int) -> Column:
    if isinstance(words, str):
        return Column(np.zeros(n, np.int64), (words,))
    assert len(words) == n, f"{len(words)} words for {n} rows"
    return code(words)


def _keys(names: npt.NDArray[np.int64]) -> Words:
    """The identity of each name; zeros for 0."""
    low = names.astype(np.uint64)
    return np.column_stack([low * np.uint64(_SPREAD), low])


def marker_of(type_: str, time_s: float = 0.0, **changes: Any) -> Marker:
    """A marker of release d-1 of the order API, with some fields changed."""
    fields: dict[str, Any] = {
        "id": f"{type_}-{time_s}",
        "time_ns": at_ns(time_s),
        "type": type_,
        "deployment": "d-1",
        "service": "order-api",
        "version": NEW,
        **changes,
    }
    return Marker(**fields)


def started(time_s: float = 0.0, **changes: Any) -> Marker:
    """The start of release d-1, 2.0.0 instead of 1.9.0."""
    return marker_of(STARTED, time_s, **{"replaces": OLD, **changes})


def shifted(time_s: float, share: float, **changes: Any) -> Marker:
    """A change of the share of release d-1."""
    return marker_of(SHIFTED, time_s, share=share, **changes)


def finished(time_s: float, **changes: Any) -> Marker:
    """The end of release d-1."""
    return marker_of(FINISHED, time_s, **{"outcome": "ok", **changes})


def rolled_back(time_s: float, **changes: Any) -> Marker:
    """The rollback of release d-1."""
    return marker_of(ROLLED_BACK, time_s, **changes)


def metric_of(name: str, kind: Kind, measure: Measure, **changes: Any) -> Metric:
    """A metric of submitted orders, with some fields changed."""
    higher = kind in (Kind.DURATION, Kind.GAUGE)
    fields: dict[str, Any] = {
        "worse": "higher" if higher else "lower",
        "margin": Margin(0.03, relative=False) if kind is Kind.PROPORTION else Margin(0.1, True),
        "criticality": Criticality.CRITICAL,
        "unit": "1",
        "types": ("order.submitted",),
        **changes,
    }
    return Metric(name=name, kind=kind, measure=measure, **fields)


def success(**changes: Any) -> Metric:
    """The share of orders that were accepted; three points are the margin."""
    return metric_of("success", Kind.PROPORTION, Measure.OUTCOME, **changes)


def duration(**changes: Any) -> Metric:
    """How long confirmations took; ten percent are the margin."""
    fields = {"types": ("order.confirmed",), "unit": "s", **changes}
    return metric_of("duration", Kind.DURATION, Measure.VALUE, **fields)


def throughput(**changes: Any) -> Metric:
    """How many orders were accepted; ten percent are the margin."""
    return metric_of("throughput", Kind.COUNT, Measure.EVENTS, **changes)


def answered(deadline_s: int = 60, **changes: Any) -> Metric:
    """The share of accepted orders that were confirmed in time."""
    fields = {"answered_by": "order.confirmed", "deadline_s": deadline_s, **changes}
    return metric_of("answered", Kind.PROPORTION, Measure.ANSWER, **fields)


def validity(**changes: Any) -> Metric:
    """The share of events that could be read."""
    return metric_of("validity", Kind.PROPORTION, Measure.VALIDITY, **{"types": (), **changes})


def flow(**changes: Any) -> Metric:
    """Whether events of each type still come."""
    fields = {"types": (), "segments": (("type",), ("type", "outcome")), **changes}
    return metric_of("flow", Kind.COUNT, Measure.FLOW, **fields)


def assigned(**changes: Any) -> Metric:
    """How many units were put on each side."""
    fields = {"worse": "higher", "types": ("order.seen",), **changes}
    return metric_of("assigned", Kind.COUNT, Measure.ASSIGNMENT, **fields)


def policy_of(*metrics: Metric, **changes: Any) -> Policy:
    """A policy of these metrics; all of ``success``, ``duration``, ``answered`` and ``flow`` if
    none is given."""
    chosen = metrics or (success(), duration(), answered(), flow())
    return Policy(metrics=chosen, **changes)
